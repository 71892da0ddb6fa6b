// Just enough TAP (the Test Anything Protocol, which meson reads): steps in order, the first failure ends the run.
let steps = 0;

export async function step(name, run) {
  steps++;
  try {
    await run();
    console.log(`ok ${steps} - ${name}`);
  } catch (error) {
    console.log(`not ok ${steps} - ${name}`);
    console.log(String(error?.stack ?? error).replace(/^/gm, '# '));
    throw new Failed();
  }
}

class Failed extends Error {}

// Runs the steps of `main`; whatever happens in them, `cleanup` runs, and the exit status says how it went.
export async function tap(main, cleanup = async () => {}) {
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => cleanup().finally(() => process.exit(1)));
  try {
    await main();
  } catch (error) {
    if (!(error instanceof Failed))
      console.log(`not ok ${++steps} - runs\n${String(error?.stack ?? error).replace(/^/gm, '# ')}`);
    process.exitCode = 1;
  } finally {
    await cleanup();
    console.log(`1..${steps}`);
  }
}

export function skip(reason) {
  console.log(`1..0 # SKIP ${reason}`);
  process.exit(0);
}
