"""The real binary, a fresh data directory, plain HTTP. Standard library only.

A test class derives from Case: every daemon it starts is ended (by its process id) and every folder removed, whatever happens.
`harness.main()` runs a module's tests and speaks TAP, so that each skip is seen and counted.
"""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
import urllib.error
import urllib.request

BINARY = os.path.abspath(os.environ.get('LEASED_BIN', 'build/leased'))
FINAL = ('succeeded', 'failed', 'cancelled', 'early_stopped')
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith('LEASED_')}
WAIT_S = float(os.environ.get('LEASED_E2E_WAIT', '60'))
POLL_S = 0.02


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def sha256(self):
        return hashlib.sha256(self.body).hexdigest()


class Daemon:
    """`leased serve` on a free port. start() returns once it is listening."""

    def __init__(self, data_dir, *arguments):
        self.data_dir, self.arguments = data_dir, arguments
        self.process = self.url = None
        self.log_path = data_dir + '.log'

    def start(self):
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(
                [BINARY, 'serve', '--listen', '127.0.0.1:0', '--data-dir', self.data_dir, *self.arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT)
        line = self.process.stdout.readline()
        if not line.startswith('listening on http://127.0.0.1:'):
            self.process.wait()
            raise AssertionError(f'leased did not start: {line!r}\n{self.log()}')
        self.url = line.split()[2]
        return self

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as file:
            return file.read()[-4000:]

    def kill(self):
        """kill -9: as if the power failed."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds=10):
        """SIGTERM; returns the exit status, and fails if it takes longer than `seconds`."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.stdout.close()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def request(self, method, path, body=None, headers=None):
        """`body`: bytes as they are, anything else as JSON. Paths without a leading '/' are below /api/v1/."""
        url = self.url + (path if path.startswith('/') else '/api/v1/' + path)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault('Content-Type', 'application/json')
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path):
        return self.request('GET', path)

    def post(self, path, body=None, **options):
        return self.request('POST', path, b'' if body is None else body, **options)

    def submit(self, job):
        answer = self.post('jobs', job)
        if answer.status != 201:
            raise AssertionError(f'job refused: {answer.status} {answer.body!r}')
        return answer.json()['id']

    def job(self, job_id):
        return self.get(f'jobs/{job_id}').json()

    def wait(self, job_id, until, what, seconds=WAIT_S):
        """Polls the job until `until(job)`; a job that is over before fails the test."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.job(job_id)
            if until(job):
                return job
            if job.get('state') in FINAL or time.monotonic() > deadline:
                raise AssertionError(f'waited for {what}; the job: {json.dumps(job)}\n{self.log()}')
            time.sleep(POLL_S)

    def finish(self, job_id, state='succeeded', seconds=WAIT_S):
        job = self.wait(job_id, lambda job: job['state'] in FINAL, 'the end', seconds)
        if job['state'] != state:
            raise AssertionError(f'the job is {job["state"]}, not {state}: {json.dumps(job)}\n{self.log()}')
        return job

    def checkpoint(self, job_id, which='latest'):
        answer = self.get(f'jobs/{job_id}/checkpoints/{which}')
        if answer.status != 200:
            raise AssertionError(f'no checkpoint {which}: {answer.status} {answer.body!r}')
        return answer


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='leased-e2e-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def daemon(self, *arguments, data='data'):
        """A started daemon on a data directory of this test; the same name again is the same directory."""
        daemon = Daemon(self.path(data), *arguments)
        self.addCleanup(lambda: daemon.alive() and daemon.kill())
        return daemon.start()

    def leased(self, *arguments, url=None, seconds=WAIT_S):
        """Runs the binary to its end: (exit status, standard output, standard error)."""
        environment = {**ENVIRONMENT, 'LEASED_URL': url or 'http://127.0.0.1:1'}
        done = subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                              env=environment)
        return done.returncode, done.stdout, done.stderr

    def assert_problem(self, answer, status, pointer=None, word=None):
        """An RFC 9457 document with this status, naming this field, saying this word."""
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers.get_content_type(), 'application/problem+json')
        problem = answer.json()
        self.assertEqual(problem['status'], status)
        for member in ('type', 'title', 'detail', 'code', 'request_id'):
            self.assertTrue(problem.get(member), f'no {member} in {problem}')
        if pointer is not None:
            self.assertIn(pointer, [error['pointer'] for error in problem['errors']], problem)
        if word is not None:
            self.assertIn(word, json.dumps(problem))

    def assert_alive(self, daemon):
        self.assertTrue(daemon.alive(), daemon.log())
        self.assertEqual(daemon.get('/livez').status, 200)


def train_job(train_images=128, epochs=2, seed=1, threads=1, **params):
    """A training job that takes a moment. Further keywords go into params."""
    return {'kind': 'train', 'name': 'e2e', 'seed': seed, 'threads': threads, 'params': {
        'dataset': 'shapes', 'train_images': train_images, 'test_images': 64, 'model': {'name': 'resnet18', 'width': 4},
        'epochs': epochs, 'batch_size': 32, 'optimizer': {'name': 'sgd', 'lr': 0.05},
        'augment': [{'name': 'crop', 'padding': 4}, {'name': 'flip'}], **params}}


class TapResult(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def point(self, ok, test, directive='', notes=''):
        name = test.shortDescription() or str(test)
        print(f'{"ok" if ok else "not ok"} {self.testsRun} - {name}{directive}')
        for line in notes.splitlines():
            print(f'# {line}')
        sys.stdout.flush()

    def addSuccess(self, test):
        self.point(True, test, notes=f'{time.monotonic() - self.started:.1f} s')

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.point(True, test, f' # SKIP {reason}')

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.point(False, test, notes=''.join(traceback.format_exception(*error)))

    addError = addFailure


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__'])
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:], sys.modules['__main__'])
    print(f'1..{suite.countTestCases()}', flush=True)
    result = TapResult()
    suite.run(result)
    sys.exit(1 if result.failures or result.errors else 0)
