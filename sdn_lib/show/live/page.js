// The student that paints in the reader's browser: what stands around engine.js. Pages hold a form
// (form.py makes it); nothing is loaded until the reader asks.
(() => {
  "use strict";
  if (window.sdnLive?.ready) {
    window.sdnLive.begun.then(window.sdnLive.attachAll, () => {}); // a later box of the same page
    return;
  }

  const base = new URL(".", document.currentScript.src).href;
  const live = { ready: true, waiting: {}, receive, describe, load, ask, attachAll };
  window.sdnLive = live;

  // --- files and the worker -----------------------------------------------------------------------

  let worker = null;
  let jobs = 0;
  const open = new Map();

  // The worker is made of the engine's own text: from disk, a page may not load one by its address.
  function start() {
    if (worker) return;
    const source = new Blob([`(${sdnEngine})(self)`], { type: "text/javascript" });
    worker = new Worker(URL.createObjectURL(source));
    worker.onmessage = ({ data }) => {
      const job = open.get(data.job);
      if (data.made) return job.made(data);
      open.delete(data.job);
      if (data.failed) job.reject(new Error(data.failed));
      else job.resolve(data.done);
    };
    // It could not start, or died with the networks that it held.
    worker.onerror = () => {
      worker.terminate();
      worker = null;
      for (const name of Object.keys(loaded)) delete loaded[name];
      for (const { reject } of open.values()) {
        reject(new Error("the painter could not work in this browser: try another one"));
      }
      open.clear();
    };
  }

  function ask(question, made = () => {}, transfer = []) {
    start();
    const job = ++jobs;
    return new Promise((resolve, reject) => {
      open.set(job, { resolve, reject, made });
      worker.postMessage({ ...question, job }, transfer);
    });
  }

  function script(name) {
    return new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = `${base}${name}.js`;
      tag.onload = () => {
        tag.remove(); // with its text, which for networks is long
        resolve();
      };
      tag.onerror = () => reject(new Error(`${tag.src} is missing or could not be loaded`));
      document.head.append(tag);
    });
  }

  // What a file of weights calls.
  function receive(name, header, packed) {
    live.waiting[name] = { header, packed };
  }

  async function unpack(packed) {
    const signs = atob(packed), bytes = new Uint8Array(signs.length);
    for (let k = 0; k < signs.length; k++) bytes[k] = signs.charCodeAt(k);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  const loaded = {};

  function load(name) {
    loaded[name] = loaded[name] || (async () => {
      if (typeof DecompressionStream === "undefined") {
        throw new Error("this browser is too old to unpack the networks: use one of mid-2023 or later");
      }
      await script(name);
      if (!live.waiting[name]) throw new Error(`${name}.js is damaged: load the page again`);
      const { header, packed } = live.waiting[name];
      delete live.waiting[name];
      const buffer = await unpack(packed);
      return ask({ ask: "load", name, header, buffer }, undefined, [buffer]);
    })().catch((error) => {
      delete loaded[name];
      throw error;
    });
    return loaded[name];
  }

  // What manifest.js calls: {sizes: {name: bytes}} of the files that there are.
  function describe(facts) {
    Object.assign(live, facts);
  }

  // --- pictures ---------------------------------------------------------------------------------

  // Values of 0 to 1 as they are, three channels a place.
  function drawPicture(canvas, { shape: [height, width], values }) {
    canvas.width = width;
    canvas.height = height;
    const pixels = new ImageData(width, height);
    for (let k = 0; k < height * width; k++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * k + c] = Math.round(255 * clamp(values[3 * k + c]));
      pixels.data[4 * k + 3] = 255;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  const clamp = (x) => Math.min(1, Math.max(0, x));

  // The channels that differ most over the map, side by side; a layer without a map as a strip.
  function drawLayer(canvas, { name, shape, values }) {
    if (name === "image") return drawPicture(canvas, { shape, values });
    let [height, width, channels] = shape;
    if (height === 1) {
      width = 32;
      height = Math.ceil(channels / width);
      channels = 1;
    }
    const places = height * width;
    const spread = Array.from({ length: channels }, (_, c) => {
      let sum = 0, squares = 0;
      for (let k = 0; k < places; k++) {
        const value = values[k * channels + c] || 0;
        sum += value;
        squares += value * value;
      }
      return { c, spread: squares / places - (sum / places) ** 2 };
    });
    const shown = spread.sort((a, b) => b.spread - a.spread).slice(0, channels > 1 ? 12 : 1);
    const columns = Math.min(4, shown.length), gap = shown.length > 1 ? Math.ceil(width / 16) : 0;
    canvas.width = columns * (width + gap) - gap;
    canvas.height = Math.ceil(shown.length / columns) * (height + gap) - gap;
    const pen = canvas.getContext("2d");
    shown.forEach(({ c }, n) => {
      let most = 1e-9;
      for (let k = 0; k < places; k++) most = Math.max(most, values[k * channels + c] || 0);
      const map = new ImageData(width, height);
      for (let k = 0; k < places; k++) {
        map.data.set(colour((values[k * channels + c] || 0) / most), 4 * k);
      }
      const x = (n % columns) * (width + gap), y = Math.floor(n / columns) * (height + gap);
      pen.putImageData(map, x, y);
    });
  }

  // From dark to light, as in the book's other maps.
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

  function colour(x) {
    const at = clamp(x) * (RAMP.length - 1), low = Math.min(RAMP.length - 2, Math.floor(at));
    const mix = RAMP[low].map((from, c) => from + (at - low) * (RAMP[low + 1][c] - from));
    return [...mix, 255];
  }

  // --- one form -----------------------------------------------------------------------------------

  function attach(root) {
    if (root.dataset.ready) return;
    root.dataset.ready = "yes";
    const find = (name) => root.querySelector(`.sdn-live-${name}`);
    const form = find("form"), box = find("caption"), status = find("status");
    const bar = find("progress"), picker = find("student"), slider = find("layer");
    const students = root.dataset.students.split(" ");
    const titleOf = (name) => root.querySelector(`[data-student="${name}"] figcaption`).textContent;
    const painted = new Map();
    let turn = 0, timer = 0, asked = false;

    function say(text, trouble = false) {
      status.textContent = text;
      status.classList.toggle("sdn-live-trouble", trouble);
    }

    function sizes() {
      const bytes = ["text", "nearest", ...students].map((name) => live.sizes[name] || 0);
      return `${(bytes.reduce((a, b) => a + b) / 1e6).toFixed(0)} MB`;
    }

    function progress(done, of) {
      bar.hidden = done >= of;
      bar.max = of;
      bar.value = done;
    }

    async function paint() {
      const mine = ++turn, caption = box.value, began = performance.now();
      const stale = () => mine !== turn;
      clearTimeout(timer);
      if (!caption.trim()) {
        progress(1, 1);
        return say("Write at least one word.", true);
      }
      find("keep").hidden = true;
      remember(caption);
      try {
        if (!asked) say(`Loading the networks, ${sizes()} …`);
        asked = true;
        await load("text");
        if (stale()) return;
        const { text, places } = await ask({ ask: "read", caption });
        if (stale()) return;
        marks(caption, places);
        for (let k = 0; k < students.length; k++) {
          await load(students[k]);
          if (stale()) return;
          const { layers } = await ask({ ask: "paint", student: students[k], text }, ({ made }) => {
            if (!stale()) progress(k + made, students.length);
          });
          if (stale()) return;
          painted.set(students[k], layers);
          const canvas = root.querySelector(`[data-student="${students[k]}"] canvas`);
          drawPicture(canvas, layers[layers.length - 1]);
          canvas.parentNode.querySelector("img")?.remove();
          canvas.hidden = false;
          canvas.setAttribute("aria-label", `${titleOf(students[k])}: ${caption}`);
          progress(k + 1, students.length);
        }
        inside();
        find("keep").hidden = false;
        find("first").hidden = true;
        root.dataset.painted = caption;
        const seconds = (performance.now() - began) / 1000;
        say(`Painted “${short(caption)}” in ${seconds.toFixed(1)} seconds.`);
        if (!live.sizes.nearest) return;
        await load("nearest");
        if (stale()) return;
        const found = await ask({ ask: "nearest", text });
        if (!stale()) nearest(found);
      } catch (error) {
        if (!stale()) {
          if (!painted.size) asked = false;
          progress(1, 1);
          say(error.message, true);
        }
      }
    }

    function short(text) {
      const signs = Array.from(text);
      return signs.length > 60 ? `${signs.slice(0, 57).join("")}…` : text;
    }

    // The caption as the encoder reads it: signs that it does not know, and what lies beyond its end.
    function marks(caption, places) {
      const signs = Array.from(caption.normalize("NFC"));
      const runs = []; // of signs of one kind
      let unknown = 0;
      signs.forEach((sign, k) => {
        const lost = k >= places.length, strange = !lost && places[k] < 0;
        unknown += strange;
        const kind = lost ? "sdn-live-lost" : strange ? "sdn-live-unknown" : "";
        if (runs.at(-1)?.kind === kind) runs.at(-1).signs.push(sign);
        else runs.push({ kind, signs: [sign] });
      });
      find("read").replaceChildren(...runs.map((run) => {
        const piece = document.createElement("span");
        piece.className = run.kind;
        piece.textContent = run.signs.join("");
        return piece;
      }));
      const cut = signs.length - places.length;
      const notes = [];
      if (unknown) notes.push(`${unknown} of its signs the encoder does not know: they are left blank`);
      if (cut > 0) notes.push(`only its first ${places.length} signs are read, ${cut} are cut off`);
      find("notes").textContent = notes.length ? `Of this caption, ${notes.join("; ")}.` : "";
      find("reading").hidden = !notes.length;
    }

    function inside() {
      const layers = painted.get(picker.value);
      if (!layers) return;
      slider.max = layers.length - 1;
      const layer = layers[slider.value], [height, width, channels] = layer.shape;
      drawLayer(find("map"), layer);
      const size = height > 1 ? `${height} × ${width} × ${channels}` : `${channels} numbers`;
      find("name").textContent = `${layer.name}, ${size}`;
      slider.setAttribute("aria-valuetext", find("name").textContent);
      find("map").setAttribute("aria-label", `what ${titleOf(picker.value)} holds at ${layer.name}`);
      find("inside").hidden = false;
    }

    function nearest({ captions }) {
      const list = find("nearest");
      list.replaceChildren(...captions.map((caption) => {
        const item = document.createElement("li");
        item.textContent = caption;
        return item;
      }));
      find("near").hidden = false;
    }

    function remember(caption) {
      try {
        history.replaceState(null, "", `#caption=${encodeURIComponent(caption)}`);
      } catch {
        // Half a sign has no address, and Safari refuses many changes in a row: it stays as it was.
      }
    }

    function fromAddress() {
      const found = /^#caption=(.*)$/s.exec(location.hash);
      if (!found) return;
      try {
        box.value = decodeURIComponent(found[1]);
      } catch {
        return;
      }
      if (asked) paint();
      else if (box.value !== box.defaultValue) say("Press Paint to see this caption. The pictures below are of another one.");
    }

    function save() {
      const size = 256, sheet = document.createElement("canvas");
      sheet.width = size * students.length;
      sheet.height = size;
      const pen = sheet.getContext("2d");
      pen.imageSmoothingEnabled = false;
      students.forEach((name, k) => {
        const canvas = root.querySelector(`[data-student="${name}"] canvas`);
        pen.drawImage(canvas, k * size, 0, size, size);
      });
      const link = document.createElement("a");
      const words = root.dataset.painted.match(/[a-z0-9]+/gi) || ["bird"];
      link.download = `${words.join("-").slice(0, 60)}.png`;
      link.href = sheet.toDataURL("image/png");
      link.click();
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      paint();
    });
    // Once the networks are there, a picture follows what is typed.
    box.addEventListener("input", () => {
      clearTimeout(timer);
      if (asked) timer = setTimeout(paint, 250);
    });
    root.querySelectorAll(".sdn-live-example").forEach((button) => {
      button.addEventListener("click", () => {
        box.value = button.textContent;
        paint();
      });
    });
    picker.addEventListener("change", inside);
    slider.addEventListener("input", inside);
    find("save").addEventListener("click", save);
    window.addEventListener("hashchange", fromAddress);
    fromAddress();
    find("size").textContent = sizes();
    root.querySelectorAll("[hidden].sdn-live-needs-scripts").forEach((part) => {
      part.hidden = false;
    });
  }

  function attachAll() {
    document.querySelectorAll(".sdn-live").forEach(attach);
  }

  live.begun = Promise.all([script("engine"), script("manifest")]).then(() => {
    if (!live.sizes) throw new Error("manifest.js is damaged: load the page again");
  });
  live.begun.then(attachAll).catch((error) => {
    document.querySelectorAll(".sdn-live-status").forEach((status) => {
      status.textContent = error.message;
    });
  });
})();
