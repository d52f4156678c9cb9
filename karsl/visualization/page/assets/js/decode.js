// From a payload to points: a stage has its own, or follows from an earlier one (see quantise.py and plan.py).

async function inflate(text) {
  if (!("DecompressionStream" in window))
    throw new Error("this browser cannot unpack the clips; it needs Chrome 103, Firefox 113 or Safari 16.4");
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function decodeClip(payload, skeletons) {
  const total = payload.total;
  const clip = { total, stages: [], augmentations: [] };
  for (const stage of payload.stages) clip.stages.push(await decodeStage(stage, clip.stages, skeletons, total));
  for (const draw of payload.augmentations) clip.augmentations.push(await decodeStage(draw, clip.stages, skeletons, total));
  return clip;
}

async function decodeStage(written, earlier, skeletons, total) {
  const inds = typeof written.inds === "number" ? earlier[written.inds].inds : written.inds;
  const name = written.name.replace(/^\d+\. /, ""); // the page numbers stages itself
  const stage = { ...written, name, inds };
  const skeleton = skeletons[stage.skeleton];
  const size = [stage.frames, skeleton.names.length];
  const told = stage.points;
  const xy = told.data ? await ownPoints(told, size) : await followedPoints(told, earlier[told.from], skeleton, size, inds);
  return { ...stage, skeleton, xy, disk: diskTimes(stage, total), unchanged: changesNothing(told) };
}

async function ownPoints({ low, step, data }, [frames, points]) {
  const bytes = await inflate(data);
  const count = frames * points * 2;
  const xy = new Float32Array(count);
  const held = new Int32Array(points * 2);
  for (let i = 0; i < count; i++) {
    const zigzag = bytes[i] | (bytes[count + i] << 8);
    const place = i % (points * 2);
    held[place] += (zigzag >>> 1) ^ -(zigzag & 1);
    xy[i] = low[i & 1] + held[place] * step;
  }
  return hideMissing(xy, bytes.subarray(2 * count));
}

function hideMissing(xy, bits) {
  for (let i = 0; i < xy.length / 2; i++) {
    if (!(bits[i >> 3] & (128 >> (i & 7)))) xy[2 * i] = xy[2 * i + 1] = NaN;
  }
  return xy;
}

async function followedPoints(told, source, skeleton, [frames, points], inds) {
  const pick = told.pick === "mirror" ? skeleton.mirror : told.pick;
  const from = source.skeleton.names.length;
  const xy = new Float32Array(frames * points * 2);
  const maps = skeleton.groups.flatMap((group, number) => Array(group.at[1] - group.at[0]).fill(told.affine[number]));
  for (let t = 0; t < frames; t++) {
    const at = told.sampled ? Math.min(Math.max(inds[t], 0), source.frames - 1) : t;
    const first = Math.floor(at);
    const second = Math.min(first + 1, source.frames - 1);
    for (let v = 0; v < points; v++) {
      const place = pick ? pick[v] : v;
      const [x, y] = between(source.xy, 2 * (first * from + place), 2 * (second * from + place), at - first);
      const [a, b, c, d, e, f] = maps[v];
      const i = 2 * (t * points + v);
      xy[i] = a * x + b * y + c;
      xy[i + 1] = d * x + e * y + f;
    }
  }
  return told.seen ? hideMissing(xy, await inflate(told.seen)) : xy;
}

// Where one of two frames misses a point, the other is taken.
function between(xy, one, two, weight) {
  if (weight === 0 || Number.isNaN(xy[two])) return [xy[one], xy[one + 1]];
  if (Number.isNaN(xy[one])) return [xy[two], xy[two + 1]];
  return [xy[one] + (xy[two] - xy[one]) * weight, xy[one + 1] + (xy[two + 1] - xy[one + 1]) * weight];
}

// For each frame the frame on disk that it shows; a clip that was resampled by other means is spread evenly.
function diskTimes(stage, total) {
  const times = new Float32Array(stage.frames);
  let last = 0;
  for (let t = 0; t < stage.frames; t++) {
    if (stage.inds) last = stage.inds[t] ?? last;
    else last = stage.frames === total ? t : (t * (total - 1)) / Math.max(stage.frames - 1, 1);
    times[t] = last;
  }
  return times;
}

function changesNothing(told) {
  const same = [1, 0, 0, 0, 1, 0];
  return (
    Boolean(told.affine) &&
    !told.sampled &&
    !told.pick &&
    !told.seen &&
    told.affine.every((row) => row.every((v, i) => Math.abs(v - same[i]) < 1e-5))
  );
}

function frameAt(stage, disk) {
  let best = 0;
  for (let t = 1; t < stage.frames; t++) {
    if (Math.abs(stage.disk[t] - disk) < Math.abs(stage.disk[best] - disk)) best = t;
  }
  return best;
}
