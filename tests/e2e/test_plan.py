#!/usr/bin/env python3
"""`leased plan JOB.json`, and the profile of a job that was asked for one."""
import json

import harness
from harness import train_job


class Plan(harness.Case):
    def file(self, content):
        path = self.path('job.json')
        with open(path, 'w', encoding='utf-8') as out:
            out.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def test_plan(self):
        """a table of what a step does and should take; nothing is queued"""
        server = self.daemon()
        code, out, err = self.leased('plan', self.file(train_job()), url=server.url)
        self.assertEqual((code, err), (0, ''))
        self.assertIn('batch_norm', out)
        self.assertRegex(out, r'[0-9]+ steps in 2 epochs, [0-9.]+ MB of memory')
        self.assertRegex(out, r'expected: [0-9.]+ ms forward, [0-9.]+ backward')
        self.assertIn(' + add + relu\n', out)
        self.assertEqual(server.get('jobs').json()['items'], [])

    def test_refused(self):
        """a job that is refused, a file that is absent or no JSON, arguments too many: 2"""
        server = self.daemon()
        code, out, err = self.leased('plan', self.file(train_job(batch_size=0)), url=server.url)
        self.assertEqual((code, out), (2, ''))
        self.assertIn('/params/batch_size', err)
        for arguments in (('plan',), ('plan', self.path('absent.json')), ('plan', 'a', 'b'), ('plan', self.file('{'))):
            code, out, err = self.leased(*arguments, url=server.url)
            self.assertEqual((code, out), (2, ''), arguments)
            self.assertIn('leased plan', err)

    def test_no_daemon(self):
        """no daemon: 2, naming the address"""
        code, _, err = self.leased('plan', self.file(train_job()), url='http://127.0.0.1:1')
        self.assertEqual(code, 2)
        self.assertIn('127.0.0.1:1', err)

    def test_profile(self):
        """a job measures its steps and computes the same bits; a second daemon still has the profile"""
        server = self.daemon()
        plain = server.submit(train_job())
        job = server.submit(train_job(profile=2))
        for each in (plain, job):
            server.finish(each)
        self.assert_problem(server.get(f'jobs/{plain}/profile'), 404, word='profile')
        profile = server.get(f'jobs/{job}/profile').json()
        self.assertEqual(profile['steps'], 2)
        slowest = [item['seconds'] for item in profile['items']]
        self.assertEqual(slowest, sorted(slowest, reverse=True))
        self.assertTrue(0 < sum(item['share'] for item in profile['items']) <= 1)
        self.assertEqual(server.checkpoint(plain).sha256(), server.checkpoint(job).sha256())
        server.stop()
        self.assertEqual(self.daemon().get(f'jobs/{job}/profile').json(), profile)


if __name__ == '__main__':
    harness.main()
