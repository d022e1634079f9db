// Gives a viewer its slider, its lists and its keys.
function enliven(viewer) {
  const one = (selector) => viewer.querySelector(selector);
  const stage = one(".stage"), slider = one("input"), zoom = one("[data-zoom]"), level = one("[data-level-choice]");
  const images = [...stage.querySelectorAll("img")], sides = ["left", "right"];
  const chosen = (side) => images.find((image) => image.dataset.view === one(`[data-side=${side}]`).value &&
    [undefined, level.value].includes(image.dataset.level));
  const place = (percent) => {
    slider.value = percent;
    stage.style.setProperty("--border", slider.value + "%");
    one(".line").hidden = slider.value % 100 === 0;
    one("[data-now]").textContent = { 0: "right", 100: "left" }[slider.value] || "both";
  };
  const fit = () => {
    const scale = lay(stage, Number(images[0].getAttribute("width")), zoom.value);
    one(".slide").style.maxWidth = one(".frame").offsetWidth + "px";
    one("[data-scale]").textContent = scaleInWords(scale);
  };
  const show = () => {
    const [left, right] = sides.map(chosen);
    for (const image of images) {
      image.hidden = image !== left && image !== right;
      image.classList.toggle("right", image === right && left !== right);
    }
    level.parentElement.hidden = level.length < 2 || !(left.dataset.level || right.dataset.level);
    for (const side of sides) one(`[data-caption=${side}]`).textContent = `${side}: ${chosen(side).dataset.caption}`;
  };
  // Both are drawn and one is cut off, so that nothing is loaded between them.
  const flicker = () => place(Number(slider.value) === 100 ? 0 : 100);
  for (const select of viewer.querySelectorAll("select")) select.addEventListener("change", show);
  zoom.addEventListener("change", fit);
  addEventListener("resize", fit);
  slider.addEventListener("input", () => place(slider.value));
  one("[data-flicker]").addEventListener("click", flicker);
  viewer.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "f" && isOurs(event)) flicker();
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && !event.buttons) return;
    const box = stage.getBoundingClientRect();
    place(100 * (event.clientX - box.left) / box.width);
  });
  for (const image of images) image.draggable = false;
  place(50);
  show();
  fit();
}
