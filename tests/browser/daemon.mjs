// The real `leased serve` in a folder of its own, which is gone afterwards.
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_MS = 30_000;
const STOP_MS = 20_000;

export class Daemon {
  constructor(binary) {
    this.binary = binary;
    this.url = '';
  }

  // Starts it: at first on a port of the system's choice, later on the same one again.
  async start() {
    this.folder ??= await mkdtemp(join(tmpdir(), 'leased-browser-'));
    const log = await open(join(this.folder, 'log'), 'a');
    const listen = this.url === '' ? '127.0.0.1:0' : new URL(this.url).host;

    this.child = spawn(this.binary, ['serve', '--listen', listen, '--data-dir', join(this.folder, 'data'), '--workers', '1'],
      { stdio: ['ignore', 'pipe', log.fd] });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    const line = await new Promise((resolve, reject) => {
      let text = '';
      const timer = setTimeout(() => reject(new Error(`${this.binary} says no address`)), START_MS);
      this.child.once('error', reject);
      this.child.stdout.on('data', (bytes) => {
        text += bytes;
        if (text.includes('\n')) {
          clearTimeout(timer);
          resolve(text);
        }
      });
      void this.ended.then(async () => reject(new Error(`${this.binary} ended:\n${await this.log()}`)));
    }).finally(() => log.close());
    const match = /^listening on (http:\/\/\S+)\n/.exec(line);
    if (!match)
      throw new Error(`unexpected first line: ${line}`);
    this.url = `${match[1]}/`;
  }

  async log() {
    return readFile(join(this.folder, 'log'), 'utf8');
  }

  // SIGTERM, and the hard way only if that does not end it; answers the exit status.
  async stop() {
    if (!this.child)
      return null;
    const child = this.child;
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);

    child.kill('SIGTERM');
    await this.ended;
    clearTimeout(timer);
    this.child = null;
    return child.exitCode;
  }

  async remove() {
    await this.stop();
    if (this.folder)
      await rm(this.folder, { recursive: true, force: true });
  }

  async api(path, body) {
    const response = await fetch(`${this.url}api/v1/${path}`, body === undefined ? {} : {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok)
      throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }
}
