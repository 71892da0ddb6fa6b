#!/usr/bin/env python3
"""`leased run JOB.json`: submits, follows, and exits as the job did."""
import json
import os
import socket
import subprocess
import threading
import time

import harness
from harness import train_job


class Run(harness.Case):
    def file(self, content):
        path = self.path('job.json')
        with open(path, 'w', encoding='utf-8') as out:
            out.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def test_version(self):
        """--version prints name, version and build"""
        code, out, _ = self.leased('--version')
        self.assertEqual(code, 0)
        self.assertTrue(out.startswith('leased '), out)

    def test_usage(self):
        """no or unknown subcommand, no file: 2"""
        for arguments in ((), ('levitate',), ('run',), ('run', self.path('absent.json')), ('run', '--colour', 'x')):
            code, out, err = self.leased(*arguments)
            self.assertEqual((code, out), (2, ''), arguments)
            self.assertTrue(err, arguments)

    def test_succeeded(self):
        """a job that succeeds: 0, plain lines where there is no terminal"""
        server = self.daemon()
        code, out, err = self.leased('run', self.file(train_job()), url=server.url)
        self.assertEqual(code, 0, err)
        self.assertIn('loss', out + err)
        self.assertNotIn('\r', out + err)
        self.assertNotIn('\x1b', out + err)

    def test_failed(self):
        """a job that fails: 1, and its reason"""
        server = self.daemon()
        job = train_job(optimizer={'name': 'sgd', 'lr': 10, 'weight_decay': 1}, epochs=100)
        code, out, err = self.leased('run', self.file(job), url=server.url)
        self.assertEqual(code, 1, out + err)
        self.assertIn('finite', out + err)

    def test_refused(self):
        """a job that is refused: 2, naming the field"""
        server = self.daemon()
        code, out, err = self.leased('run', self.file(train_job(batch_size=0)), url=server.url)
        self.assertEqual(code, 2)
        self.assertIn('/params/batch_size', err)

    def test_not_json(self):
        """a file that is not JSON: 2"""
        server = self.daemon()
        code, _, err = self.leased('run', self.file('{'), url=server.url)
        self.assertEqual(code, 2)
        self.assertTrue(err)

    def test_no_daemon(self):
        """no daemon: 2, naming the address"""
        code, _, err = self.leased('run', self.file(train_job()), url='http://127.0.0.1:1')
        self.assertEqual(code, 2)
        self.assertIn('127.0.0.1:1', err)

    def test_cancelled(self):
        """a job that somebody cancels: 3"""
        server = self.daemon()
        job = self.file(train_job(train_images=1024, epochs=500))
        done = []
        follower = threading.Thread(target=lambda: done.append(self.leased('run', job, url=server.url)))
        follower.start()
        server.wait(1, lambda job: job.get('state') == 'running', 'the job')
        self.assertEqual(server.post('jobs/1/cancel').status, 202)
        follower.join()
        self.assertEqual(done[0][0], 3, done)

    def test_fault_13_no_terminal_is_needed(self):
        """daemon and client without a terminal, and without standard input, output and error: a search runs to its end"""
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            address = '127.0.0.1:%d' % free.getsockname()[1]
        environment = {**harness.ENVIRONMENT, 'LEASED_URL': f'http://{address}'}
        job = {'kind': 'search', 'params': {'dataset': 'shapes', 'train_images': 32, 'test_images': 8, 'channels': 4, 'cells': 3,
                                            'batch_size': 8, 'epochs': 1}}

        def start(*arguments):
            process = subprocess.Popen([harness.BINARY, *arguments], start_new_session=True, env=environment,
                                       preexec_fn=lambda: [os.close(number) for number in range(3)])
            self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))
            return process

        server = harness.Daemon(self.path('data'))
        server.url = f'http://{address}'
        server.process = start('serve', '--listen', address, '--data-dir', server.data_dir)
        deadline = time.monotonic() + harness.WAIT_S
        while True:
            try:
                if server.get('/readyz').status == 200:
                    break
            except OSError:
                pass
            self.assertLess(time.monotonic(), deadline)
            time.sleep(harness.POLL_S)
        self.assertEqual(start('run', self.file(job)).wait(harness.WAIT_S), 0)
        self.assertEqual(server.job(1)['state'], 'succeeded')
        server.process.terminate()
        self.assertEqual(server.process.wait(10), 0)


if __name__ == '__main__':
    harness.main()
