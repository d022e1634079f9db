const one = (selector) => document.querySelector(selector);
const form = one("form"), drop = one(".drop"), working = one("#working"), result = one("#result");
const usual = { quality: 50, size: 30000, bpp: 0.5 };
let file = null, running = null;

// Sends the file and tells what the server says, line by line.
async function send() {
  if (!file) return fail("no file yet: drop one, choose one, or take the sample picture");
  running?.abort();
  const mine = running = new AbortController(), begin = Date.now();
  const clock = setInterval(() => { one("#seconds").textContent = `${Math.round((Date.now() - begin) / 1000)} s`; }, 1000);
  const asked = new URLSearchParams(new FormData(form));
  asked.delete("file");
  asked.set("name", file.name || "sample.webp");
  fail("");
  result.replaceChildren();
  one("#seconds").textContent = "";
  tell({ text: "sending", done: 0 });
  try {
    const request = { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file, signal: mine.signal };
    const response = await fetch("answer?" + asked, request);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let parts = [];
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      parts.push(read.value);
      if (!read.value.includes("\n")) continue;
      const lines = parts.join("").split("\n");
      parts = [lines.pop()];
      lines.map((line) => JSON.parse(line)).forEach(tell);
    }
    if (running === mine && !one("#error").textContent && !result.childElementCount) fail("licframe demo has ended before it was done");
  } catch (error) {
    if (!mine.signal.aborted) fail(`the server does not answer (${error.message}); is licframe demo still running?`);
  } finally {
    clearInterval(clock);
    if (running === mine) working.hidden = true;
  }
}

function tell(event) {
  if (event.error) return fail(event.error);
  if (event.html) return show(event);
  working.hidden = false;
  one("#text").textContent = event.text;
  one("progress").value = event.done;
}

function fail(text) {
  one("#error").textContent = text;
}

function show(event) {
  result.innerHTML = event.html;
  if (event.file) {
    const bytes = Uint8Array.from(atob(event.file), (letter) => letter.charCodeAt(0));
    const link = document.createElement("a");
    link.id = "download";
    link.download = event.name;
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    link.textContent = `download ${event.name}`;
    result.prepend(link);
  }
  result.querySelectorAll(".viewer").forEach(enliven);
  offerBuildUp();
  result.focus();
}

// Shows the levels on the right, one after the other, as a decoder has them.
function offerBuildUp() {
  const level = one("[data-level-choice]"), right = one("[data-side=right]");
  if (level.length < 2) return;
  const button = document.createElement("button");
  button.type = "button";
  button.id = "build";
  button.textContent = "build up";
  one(".viewer .controls").append(button);
  const choose = (select, number) => {
    select.selectedIndex = number;
    select.dispatchEvent(new Event("change"));
  };
  let timer = 0;
  button.addEventListener("click", () => {
    clearInterval(timer);
    choose(right, right.length - 1);
    choose(level, 0);
    timer = setInterval(() => {
      if (level.selectedIndex + 1 < level.length) choose(level, level.selectedIndex + 1);
      else clearInterval(timer);
    }, 700);
  });
}

function take(chosen) {
  if (!chosen) return;
  file = chosen;
  send();
}

form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
form.file.addEventListener("change", () => take(form.file.files[0]));
form.target.addEventListener("change", () => { form.value.value = usual[form.target.value]; });
one("#stop").addEventListener("click", () => running?.abort());
one("#sample").addEventListener("click", async () => take(await (await fetch("sample")).blob()));
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
