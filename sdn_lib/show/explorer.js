// The controls of one interactive: each setting of them shows a frame that the page holds.
// All is inside one function: pages hold several interactives, which must not meet.
(() => {
  "use strict";
  const script = document.currentScript;
  // A notebook runs scripts that stand nowhere; those know their interactive by its id.
  const root = script?.closest(".sdn-explore") ?? document.getElementById("@ID@");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "yes";

  const data = JSON.parse(root.querySelector("script.sdn-data").textContent);
  const form = root.querySelector(".sdn-controls");
  const groups = data.controls.map(
    (_, index) => Array.from(form.querySelectorAll(`[data-control="${index}"]`))
  );
  const pictures = Array.from(root.querySelectorAll("img.sdn-frame"));
  const text = root.querySelector(".sdn-text");

  function chosen(group) {
    const input = group.length > 1 ? group.find((item) => item.checked) : group[0];
    return Number(input.value);
  }

  function show() {
    let frame = 0;
    groups.forEach((group, index) => {
      const values = data.controls[index];
      const value = chosen(group);
      frame = frame * values.length + value;
      if (group[0].type === "range") {
        group[0].setAttribute("aria-valuetext", values[value]);
        group[0].parentNode.querySelector("output").textContent = values[value];
      }
    });
    data.frames[frame].forEach((image, index) => {
      const source = data.images[image];
      if (pictures[index].getAttribute("src") !== source) pictures[index].src = source;
      pictures[index].alt = data.alts[index] + data.texts[frame];
    });
    text.textContent = data.texts[frame];
    root.dataset.frame = String(frame);
  }

  function addPlay(button) {
    const range = button.parentNode.querySelector("input");
    let timer = 0;

    function stop() {
      clearInterval(timer);
      timer = 0;
      button.textContent = "\u25b6 Play";
      text.setAttribute("aria-live", "polite");
    }

    function step() {
      if (!root.isConnected) return stop();
      range.value = Number(range.value) + 1;
      show();
      if (range.value === range.max) stop();
    }

    button.addEventListener("click", () => {
      if (timer) return stop();
      if (range.value === range.max) {
        range.value = 0;
        show();
      }
      button.textContent = "\u23f8 Pause";
      text.setAttribute("aria-live", "off");
      timer = setInterval(step, Number(button.dataset.play));
    });
    range.addEventListener("pointerdown", stop);
    range.addEventListener("keydown", stop);
  }

  form.addEventListener("input", show);
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelectorAll(".sdn-play").forEach(addPlay);
  form.hidden = false;
  show();
})();
