// A pixel of a picture is one of the screen where there is room; where it is not, the page says so.
// Returns how many pixels of the screen a pixel of the picture gets along a side.
function lay(stage, width, zoom, columns = 1, gap = 0) {
  const room = stage.parentElement.parentElement.clientWidth + edge(stage.parentElement);
  const fitting = (Math.floor(room) - gap * (columns - 1)) / columns * devicePixelRatio / width;
  const scale = zoom === "fit" ? Math.min(1, fitting) : Number(zoom);
  stage.style.width = width * scale / devicePixelRatio * columns + gap * (columns - 1) + "px";
  stage.classList.toggle("shrunk", scale < 1);
  return scale;
}

// What a frame has beyond the text beside it, less its border: on small screens it reaches the edges.
function edge(frame) {
  const style = getComputedStyle(frame);
  return ["marginLeft", "marginRight", "borderLeftWidth", "borderRightWidth"]
    .reduce((sum, name) => sum - parseFloat(style[name]), 0);
}

function scaleInWords(scale) {
  if (scale < 1) return `scaled to ${(100 * scale).toFixed(0)} % to fit; zoom 1:1 shows every pixel`;
  return scale > 1 ? `enlarged ${scale} times` : "not scaled: one pixel of the screen for each of the picture";
}

// Keys that belong to the browser, or to what has the focus, are left to them.
function isOurs(event) {
  return !(event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.target.closest("select, input:not([type=range])"));
}
