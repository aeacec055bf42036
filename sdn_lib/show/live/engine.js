// The text encoder and the students, in the browser: all that happens between a caption and its
// picture, without a library. It runs in a worker, so that the page stays alive.
//
// Numbers lie in Float32Arrays; a map of height x width x channels has its channels innermost, so
// that what a kernel sees is a few runs of neighbours.
// biome-ignore lint/correctness/noUnusedVariables: page.js makes the worker of its text.
function sdnEngine(scope) {
  "use strict";

  const networks = {};

  // --- reading a file of weights ----------------------------------------------------------------

  // Bytes -> {name: {values, rows, cols}}: see weights.py for how they lie.
  function unpack(header, buffer) {
    const bytes = new Uint8Array(buffer);
    if (bytes.length !== header.bytes || crc32(bytes) !== header.crc32) {
      throw new Error("the file of weights is damaged: load the page again");
    }
    const tensors = {};
    for (const { name, shape, at, scales } of header.tensors) {
      const [rows, cols = 1] = shape;
      if (scales === undefined) {
        // A copy, so that the file's own bytes can be let go of.
        tensors[name] = { values: new Float32Array(buffer, at, rows).slice(), rows, cols };
        continue;
      }
      const scale = new Float32Array(buffer, scales, rows);
      const values = new Float32Array(rows * cols);
      const low = at + rows * cols;
      for (let r = 0, k = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++, k++) {
          values[k] = (((bytes[at + k] << 8) | bytes[low + k]) << 16 >> 16) * scale[r];
        }
      }
      tensors[name] = { values, rows, cols };
    }
    return tensors;
  }

  function crc32(bytes) {
    const table = new Uint32Array(256).map((_, k) => {
      for (let bit = 0; bit < 8; bit++) k = k & 1 ? (k >>> 1) ^ 0xedb88320 : k >>> 1;
      return k;
    });
    let sum = 0xffffffff;
    for (let k = 0; k < bytes.length; k++) sum = table[(sum ^ bytes[k]) & 255] ^ (sum >>> 8);
    return (sum ^ 0xffffffff) >>> 0;
  }

  // --- the one operation: a matrix times many pieces of a list ------------------------------------

  // out[k][r] = bias[r] + matrix[r] . x[k * step ... k * step + cols], for `count` pieces of x. Four
  // pieces at a time: each weight is fetched once for all of them.
  function multiply({ values, rows, cols }, bias, x, count, step) {
    const out = new Float32Array(count * rows);
    let k = 0;
    for (; k + 4 <= count; k += 4) {
      const a = k * step, b = a + step, c = b + step, d = c + step;
      for (let r = 0; r < rows; r++) {
        const start = r * cols;
        let p = bias[r], q = p, s = p, t = p;
        for (let i = 0; i < cols; i++) {
          const w = values[start + i];
          p += w * x[a + i];
          q += w * x[b + i];
          s += w * x[c + i];
          t += w * x[d + i];
        }
        out[k * rows + r] = p;
        out[(k + 1) * rows + r] = q;
        out[(k + 2) * rows + r] = s;
        out[(k + 3) * rows + r] = t;
      }
    }
    for (; k < count; k++) {
      const a = k * step;
      for (let r = 0; r < rows; r++) {
        const start = r * cols;
        let p = bias[r];
        for (let i = 0; i < cols; i++) p += values[start + i] * x[a + i];
        out[k * rows + r] = p;
      }
    }
    return out;
  }

  function relu(x) {
    for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] = 0;
    return x;
  }

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  // --- the text encoder: Reed et al.'s char-CNN-RNN -----------------------------------------------

  // Caption -> the place of each letter in the alphabet, -1 where it has none. Two signs are one
  // letter where Unicode joins them, and capitals are as small letters.
  function letters(caption, { alphabet, length }) {
    const place = new Map();
    Array.from(alphabet).forEach((sign, k) => {
      place.set(sign, k);
      place.set(sign.toUpperCase(), k);
    });
    return Array.from(caption.normalize("NFC"), (sign) => place.get(sign) ?? -1).slice(0, length);
  }

  // The first convolution sees one-hot letters: it looks its columns up and adds them.
  function convolveLetters(places, { values, rows, cols }, bias, { alphabet, length, kernel }) {
    const count = length - kernel + 1, signs = alphabet.length;
    const out = new Float32Array(count * rows);
    for (let t = 0; t < count; t++) {
      for (let r = 0; r < rows; r++) out[t * rows + r] = bias[r];
      for (let k = 0; k < kernel; k++) {
        const letter = places[t + k] ?? -1;
        if (letter < 0) continue;
        const column = k * signs + letter;
        for (let r = 0; r < rows; r++) out[t * rows + r] += values[r * cols + column];
      }
    }
    return out;
  }

  // What is not above a millionth becomes 0; then the largest of every `pool` places.
  function thresholdAndPool(x, channels, pool) {
    const count = Math.floor(x.length / channels / pool);
    const out = new Float32Array(count * channels);
    for (let t = 0; t < count; t++) {
      for (let k = 0; k < pool; k++) {
        for (let c = 0; c < channels; c++) {
          const value = x[(t * pool + k) * channels + c];
          if (value > 1e-6 && value > out[t * channels + c]) out[t * channels + c] = value;
        }
      }
    }
    return out;
  }

  // The recurrent layer: at each place, how much of the state is kept and what comes in.
  function meanOfStates(x, count, tensors) {
    const width = tensors["gru.hh"].cols;
    const input = multiply(tensors["gru.ih"], tensors["gru.ih.bias"].values, x, count, width);
    const state = new Float32Array(width), mean = new Float32Array(width);
    for (let t = 0; t < count; t++) {
      const own = multiply(tensors["gru.hh"], tensors["gru.hh.bias"].values, state, 1, width);
      const at = t * 3 * width;
      for (let i = 0; i < width; i++) {
        const reset = sigmoid(input[at + i] + own[i]);
        const keep = sigmoid(input[at + width + i] + own[width + i]);
        const fresh = Math.tanh(input[at + 2 * width + i] + reset * own[2 * width + i]);
        state[i] = (1 - keep) * fresh + keep * state[i];
        mean[i] += state[i] / count;
      }
    }
    return mean;
  }

  function encode(caption) {
    const { header, tensors } = networks.text;
    const bias = (name) => tensors[`${name}.bias`].values;
    const places = letters(caption, header);
    let x = convolveLetters(places, tensors.conv1, bias("conv1"), header);
    x = thresholdAndPool(x, tensors.conv1.rows, header.pool);
    for (const [name, pool] of [["conv2", header.pool], ["conv3", 1]]) {
      const channels = tensors[name].cols / header.kernel;
      const count = x.length / channels - header.kernel + 1;
      x = multiply(tensors[name], bias(name), x, count, channels);
      x = thresholdAndPool(x, tensors[name].rows, pool);
    }
    const states = meanOfStates(x, x.length / tensors.conv3.rows, tensors);
    return multiply(tensors.project, bias("project"), states, 1, states.length);
  }

  // --- the student: VGG in the mirror --------------------------------------------------------------

  // Nearest neighbours: every place becomes two by two.
  function enlarge(x, [height, width, channels]) {
    const out = new Float32Array(height * width * channels);
    for (let row = 0; row < height; row++) {
      for (let col = 0; col < width; col++) {
        const from = ((row >> 1) * (width >> 1) + (col >> 1)) * channels;
        out.set(x.subarray(from, from + channels), (row * width + col) * channels);
      }
    }
    return out;
  }

  // Every place with its eight neighbours, 0 beyond the edge, becomes one piece of `cols` numbers.
  function convolve(matrix, bias, x, [height, width]) {
    const channels = matrix.cols / 9, run = 3 * channels;
    const padded = new Float32Array((height + 2) * (width + 2) * channels);
    for (let row = 0; row < height; row++) {
      const line = x.subarray(row * width * channels, (row + 1) * width * channels);
      padded.set(line, ((row + 1) * (width + 2) + 1) * channels);
    }
    const seen = new Float32Array(width * matrix.cols);
    const out = new Float32Array(height * width * matrix.rows);
    for (let row = 0; row < height; row++) {
      for (let col = 0; col < width; col++) {
        for (let k = 0; k < 3; k++) {
          const from = ((row + k) * (width + 2) + col) * channels;
          seen.set(padded.subarray(from, from + run), col * matrix.cols + k * run);
        }
      }
      const line = multiply(matrix, bias, seen, width, matrix.cols);
      out.set(line, row * width * matrix.rows);
    }
    return out;
  }

  // Calls `made(name, shape, values)` for every layer, as soon as it is there; returns the picture.
  function paint(student, text, made) {
    const { header, tensors } = networks[student];
    let x = text;
    for (const { name, kind, shape } of header.layers) {
      if (kind === "enlarged") {
        x = enlarge(x, shape);
      } else {
        const bias = tensors[`${name}.bias`].values;
        x = kind === "dense"
          ? multiply(tensors[name], bias, x, 1, x.length)
          : convolve(tensors[name], bias, x, shape);
        if (name !== "image") relu(x);
      }
      made(name, shape, x);
    }
    return x;
  }

  // --- which captions of the training are like it ----------------------------------------------------

  // `axes` are those along which the embeddings of captions differ most; `points` are some of them.
  function nearest(text, count) {
    const { header, tensors } = networks.nearest;
    const { axes, points, middle } = tensors;
    const centred = text.map((value, k) => value - middle.values[k]);
    const at = multiply(axes, new Float32Array(axes.rows), centred, 1, axes.cols);
    const likeness = multiply(points, new Float32Array(points.rows), at, 1, points.cols);
    const order = Array.from(likeness.keys()).sort((a, b) => likeness[b] - likeness[a]);
    return order.slice(0, count).map((k) => header.captions[k]);
  }

  // --- what the page asks -----------------------------------------------------------------------

  const answers = {
    load({ name, header, buffer }) {
      networks[name] = { header, tensors: unpack(header, buffer) };
      return {};
    },
    read({ caption }) {
      return { places: letters(caption, networks.text.header), text: encode(caption) };
    },
    nearest({ text, count = 3 }) {
      return { captions: nearest(text, count) };
    },
    paint({ student, text, job }) {
      const layers = [];
      paint(student, text, (name, shape, values) => {
        layers.push({ name, shape, values });
        scope.postMessage({ job, made: layers.length / networks[student].header.layers.length });
      });
      return { layers };
    },
  };

  scope.onmessage = ({ data }) => {
    try {
      scope.postMessage({ job: data.job, done: answers[data.ask](data) });
    } catch (error) {
      scope.postMessage({ job: data.job, failed: error.message });
    }
  };
}
