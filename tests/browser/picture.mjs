// A picture of a page for the README: a PNG with a palette of 192 colours, far smaller than what the browser writes.
import { writeFile } from 'node:fs/promises';
import { deflateSync } from 'node:zlib';

const COLOURS = 192;

export async function savePicture(page, path) {
  const shot = (await page.screenshot({ fullPage: true })).toString('base64');
  const blank = await page.context().browser().newPage(); // the page's own content policy allows no data: address
  const { width, height, bytes } = await blank.evaluate(async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let text = '';
    for (let i = 0; i < data.length; i += 0x8000)
      text += String.fromCharCode(...data.subarray(i, i + 0x8000));
    return { width: image.width, height: image.height, bytes: btoa(text) };
  }, shot);

  await blank.close();
  await writeFile(path, encode(width, height, Buffer.from(bytes, 'base64')));
}

// Median cut over the distinct colours: the box of the widest range is cut in half, again and again.
// The colours of the flat areas are kept as they are.
const FLAT = 24;

function palette(counts) {
  const all = [...counts.entries()].map(([key, count]) => ({ rgb: [key >> 16, (key >> 8) & 255, key & 255], count, key }))
    .sort((a, b) => b.count - a.count);
  const boxes = [...all.slice(0, FLAT).map((colour) => [colour]), all.slice(FLAT)].filter((box) => box.length > 0);
  const range = (box, c) => {
    const [low, high] = box.reduce(([min, max], { rgb }) => [Math.min(min, rgb[c]), Math.max(max, rgb[c])], [255, 0]);
    return high - low;
  };
  const ranges = boxes.map((box) => [0, 1, 2].map((c) => range(box, c)));

  while (boxes.length < COLOURS) {
    const wide = ranges.reduce((best, r, i) => (Math.max(...r) > Math.max(...ranges[best]) ? i : best), 0);
    const channel = ranges[wide].indexOf(Math.max(...ranges[wide]));
    if (ranges[wide][channel] === 0)
      break;
    const box = boxes[wide].sort((a, b) => a.rgb[channel] - b.rgb[channel]);
    const halves = [box.slice(0, box.length >> 1), box.slice(box.length >> 1)];
    boxes.splice(wide, 1, ...halves);
    ranges.splice(wide, 1, ...halves.map((half) => [0, 1, 2].map((c) => range(half, c))));
  }
  // A box is shown as its most used colour.
  return boxes.map((box) => ({ rgb: box.reduce((a, b) => (b.count > a.count ? b : a)).rgb, keys: box.map(({ key }) => key) }));
}

function encode(width, height, rgba) {
  const key = (at) => (rgba[at] << 16) | (rgba[at + 1] << 8) | rgba[at + 2];
  const counts = new Map();
  for (let i = 0; i < rgba.length; i += 4)
    counts.set(key(i), (counts.get(key(i)) ?? 0) + 1);
  const colours = palette(counts);
  const index = new Map(colours.flatMap(({ keys }, i) => keys.map((k) => [k, i])));

  const rows = Buffer.alloc(height * (width + 1)); // each row: filter 0, then a byte a pixel
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      rows[y * (width + 1) + 1 + x] = index.get(key(4 * (y * width + x)));
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3], 8); // 8 bits, palette
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head),
    chunk('PLTE', Buffer.from(colours.flatMap(({ rgb }) => rgb))),
    chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(body.length + 8);
  let crc = ~0;

  for (const byte of body) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  out.writeUInt32BE(data.length, 0);
  out.set(body, 4);
  out.writeUInt32BE(~crc >>> 0, body.length + 4);
  return out;
}
