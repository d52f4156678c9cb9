// Decoding of payloads: a stage has quantized points, or affine maps of an earlier stage (see stages.py).

/** @param {string} text */
async function inflate(text) {
  if (!("DecompressionStream" in window))
    throw new Error("this browser cannot decompress the clips; use Chrome 103, Firefox 113, Safari 16.4 or later");
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @type {(payload: Payload, skeletons: Record<string, Skeleton>) => Promise<Clip>} */
async function decodeClip(payload, skeletons) {
  const total = payload.total;
  /** @type {Clip} */
  const clip = { total, stages: [], augmentations: [] };
  for (const stage of payload.stages) clip.stages.push(await decodeStage(stage, clip.stages, skeletons, total));
  for (const stage of payload.augmentations)
    clip.augmentations.push(await decodeStage(stage, clip.stages, skeletons, total));
  return clip;
}

/**
 * @param {EncodedStage} encoded
 * @param {Stage[]} earlier
 * @param {Record<string, Skeleton>} skeletons
 * @param {number} total
 * @returns {Promise<Stage>}
 */
async function decodeStage(encoded, earlier, skeletons, total) {
  const inds = typeof encoded.inds === "number" ? earlier[encoded.inds].inds : encoded.inds;
  const name = encoded.name.replace(/^\d+\. /, ""); // the page numbers stages itself
  const skeleton = skeletons[encoded.skeleton];
  const { frames, points } = encoded;
  const xy = points.data
    ? await dequantize(points, frames, skeleton.names.length)
    : await applyMaps(points, earlier[points.from], skeleton, frames, inds);
  const disk = diskTimes(frames, inds, total);
  const pictures = (encoded.pictures ?? []).map(loadPicture);
  return { ...encoded, name, inds, skeleton, xy, disk, pictures, unchanged: isIdentity(points) };
}

/** @param {string} uri */
function loadPicture(uri) {
  const picture = new Image();
  picture.addEventListener("load", () => paintSoon());
  picture.src = uri;
  return picture;
}

/** @type {(encoded: EncodedPoints, frames: number, points: number) => Promise<Float32Array>} */
async function dequantize({ low, step, data }, frames, points) {
  const bytes = await inflate(data);
  const count = frames * points * 2;
  const xy = new Float32Array(count);
  const previous = new Int32Array(points * 2);
  for (let i = 0; i < count; i++) {
    const zigzag = bytes[i] | (bytes[count + i] << 8);
    const k = i % (points * 2);
    previous[k] += (zigzag >>> 1) ^ -(zigzag & 1);
    xy[i] = low[i & 1] + previous[k] * step;
  }
  return hideMissing(xy, bytes.subarray(2 * count));
}

/** @type {(xy: Float32Array, bits: Uint8Array) => Float32Array} */
function hideMissing(xy, bits) {
  for (let i = 0; i < xy.length / 2; i++) {
    if (!(bits[i >> 3] & (128 >> (i & 7)))) xy[2 * i] = xy[2 * i + 1] = NaN;
  }
  return xy;
}

/**
 * @param {EncodedPoints} encoded
 * @param {Stage} source
 * @param {Skeleton} skeleton
 * @param {number} frames
 * @param {(number | null)[] | null} inds
 */
async function applyMaps(encoded, source, skeleton, frames, inds) {
  const points = skeleton.names.length;
  const pick = encoded.pick === "mirror" ? skeleton.mirror : encoded.pick;
  const sourcePoints = source.skeleton.names.length;
  const xy = new Float32Array(frames * points * 2);
  const maps = skeleton.groups.flatMap((group, number) => Array(group.at[1] - group.at[0]).fill(encoded.affine[number]));
  for (let t = 0; t < frames; t++) {
    const at = encoded.sampled ? Math.min(Math.max(inds[t], 0), source.frames - 1) : t;
    const first = Math.floor(at);
    const second = Math.min(first + 1, source.frames - 1);
    for (let v = 0; v < points; v++) {
      const k = pick ? pick[v] : v;
      const [x, y] = blend(source.xy, 2 * (first * sourcePoints + k), 2 * (second * sourcePoints + k), at - first);
      const [a, b, c, d, e, f] = maps[v];
      const i = 2 * (t * points + v);
      xy[i] = a * x + b * y + c;
      xy[i + 1] = d * x + e * y + f;
    }
  }
  return encoded.seen ? hideMissing(xy, await inflate(encoded.seen)) : xy;
}

// Interpolate between two points. If one of them is missing, the other is used.
/** @type {(xy: Float32Array, one: number, two: number, weight: number) => Point} */
function blend(xy, one, two, weight) {
  if (weight === 0 || Number.isNaN(xy[two])) return [xy[one], xy[one + 1]];
  if (Number.isNaN(xy[one])) return [xy[two], xy[two + 1]];
  return [xy[one] + (xy[two] - xy[one]) * weight, xy[one + 1] + (xy[two + 1] - xy[one + 1]) * weight];
}

// Return the frame on disk of each frame, evenly spread if unknown.
/** @type {(frames: number, inds: (number | null)[] | null, total: number) => Float32Array} */
function diskTimes(frames, inds, total) {
  const times = new Float32Array(frames);
  let last = 0;
  for (let t = 0; t < frames; t++) {
    if (inds) last = inds[t] ?? last;
    else last = frames === total ? t : (t * (total - 1)) / Math.max(frames - 1, 1);
    times[t] = last;
  }
  return times;
}

/** @param {EncodedPoints} encoded */
function isIdentity(encoded) {
  const same = [1, 0, 0, 0, 1, 0];
  return (
    Boolean(encoded.affine) &&
    !encoded.sampled &&
    !encoded.pick &&
    !encoded.seen &&
    encoded.affine.every((row) => row.every((v, i) => Math.abs(v - same[i]) < 1e-5))
  );
}

/** @type {(stage: Stage, disk: number) => number} */
function frameAt(stage, disk) {
  let best = 0;
  for (let t = 1; t < stage.frames; t++) {
    if (Math.abs(stage.disk[t] - disk) < Math.abs(stage.disk[best] - disk)) best = t;
  }
  return best;
}
