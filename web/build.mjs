// build.mjs OUT_DIR -- bundles src/ into OUT_DIR/app.js and OUT_DIR/app.css, with the licences of what is bundled. Run by meson.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const notice = (name) => {
  const text = readFileSync(join(here, 'node_modules', name, 'LICENSE'), 'utf8').trim();
  return `/*!\n${name}\n\n${text}\n*/`;
};

await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.tsx' },
  outdir: resolve(process.argv[2]),
  bundle: true,
  minify: true,
  target: 'es2022',
  format: 'iife',
  legalComments: 'none',
  footer: { js: ['preact', 'uplot'].map(notice).join('\n'), css: notice('uplot') },
  logLevel: 'warning',
});
