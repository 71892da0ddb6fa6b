#!/usr/bin/env python3
"""Same spec, same machine, the same bits: for any number of threads, killed or drained and resumed. And what recovery promises."""
import glob
import os

import harness
from harness import train_job

EPOCHS, STEPS = 6, 32  # of the job that is interrupted; 32 steps an epoch


# name -> params of a short job; among them every kind of random draw and of state that a checkpoint has to hold. The quick ones have
# more epochs, so that they can be killed in the middle.
MODELS = {
    'cutmix or mixup, lookahead, smoothing': dict(
        epochs=6, model={'name': 'resnet18', 'width': 4, 'attention': 'se'}, label_smoothing=0.1, lookahead={'every': 3, 'decay': 0.5},
        augment=[{'name': 'shift'}, {'name': 'flip', 'mode': 'alternating'}, {'name': 'cutout', 'length': 8},
                 {'name': 'mixup', 'probability': 0.5}, {'name': 'cutmix', 'probability': 1}], test_views='flip_shift'),
    'resnet9, adamw, groups': dict(
        epochs=9, model={'name': 'resnet9', 'width': 4}, optimizer={'name': 'adamw', 'lr': 0.01}, schedule={'name': 'one_cycle'},
        groups=[{'match': '*.bias', 'decay_scale': 0}, {'match': 'fc.*', 'lr_scale': 0.5, 'epochs': 2}]),
    'airbench94': dict(
        epochs=9, model={'name': 'airbench94', 'width': 4}, optimizer={'name': 'sgd', 'lr': 0.1}, drop_last=True,
        lookahead={'every': 5, 'decay': 0.77, 'ramp': 3, 'start_epoch': 1}),
    'shake-shake': dict(epochs=4, model={'name': 'shake_shake', 'width': 4}),
    'genotype': dict(epochs=4, model={'name': 'genotype', 'genotype': 'darts_v2', 'channels': 4, 'cells': 3}, optimizer={'name': 'adam', 'lr': 0.01}),
    'supernet': dict(epochs=4, model={'name': 'supernet', 'space': 's3', 'partial': 4, 'channels': 4, 'cells': 3}),
}


def long_job(**options):
    return train_job(train_images=32 * STEPS, epochs=EPOCHS, **options)


class Bits(harness.Case):
    digests = {}  # of jobs run in one go

    def uninterrupted(self, job):
        key = repr(job['params'])
        if key not in Bits.digests:
            server = self.daemon(data='reference')
            job_id = server.submit(job)
            server.finish(job_id)
            Bits.digests[key] = server.checkpoint(job_id).sha256()
            server.kill()
        return Bits.digests[key]

    def test_threads(self):
        """1, 2 and 3 threads give the same checkpoint, another seed gives another"""
        server = self.daemon()
        digest = {}
        for threads, seed in ((1, 1), (2, 1), (3, 1), (1, 2)):
            job_id = server.submit(train_job(threads=threads, seed=seed))
            server.finish(job_id)
            digest[threads, seed] = server.checkpoint(job_id).sha256()
        self.assertEqual(digest[2, 1], digest[1, 1])
        self.assertEqual(digest[3, 1], digest[1, 1])
        self.assertNotEqual(digest[1, 2], digest[1, 1])

    def test_models(self):
        """each model, augmentation, optimiser and lookahead: 1, 2 and 3 threads, and killed and resumed, the same bits"""
        server = self.daemon()
        jobs = {(name, threads): server.submit(train_job(train_images=100, threads=threads, **params))
                for name, params in MODELS.items() for threads in (1, 2, 3)}
        digests = {}
        for (name, threads), job_id in jobs.items():
            server.finish(job_id)
            digests[name, threads] = server.checkpoint(job_id).sha256()
        for name in MODELS:
            self.assertEqual(len({digests[name, threads] for threads in (1, 2, 3)}), 1, name)
        self.assertEqual(len(set(digests.values())), len(MODELS))
        for name, params in MODELS.items():
            job_id = server.submit(train_job(train_images=100, threads=2, **params))
            server.wait(job_id, lambda job: 1 <= job['progress']['epoch'] < params['epochs'], f'an epoch of {name}')
            server.kill()
            server = self.daemon()
            job = server.finish(job_id)
            self.assertEqual(job['attempt'], 2, name)
            self.assertGreater(job['resumed_step'], 0, name)
            self.assertEqual(server.checkpoint(job_id).sha256(), digests[name, 1], name)

    def test_kill_and_resume(self):
        """a job killed with kill -9 in the middle goes on from its checkpoint and ends with the same bits"""
        server = self.daemon()
        job_id = server.submit(long_job(threads=2))
        server.wait(job_id, lambda job: 2 <= job['progress']['epoch'] < EPOCHS and job['state'] == 'running', 'two epochs')
        server.kill()
        server = self.daemon()
        job = server.finish(job_id)
        self.assertEqual(job['attempt'], 2)
        self.assertGreaterEqual(job['resumed_step'], 2 * STEPS)
        self.assertEqual(server.checkpoint(job_id).sha256(), self.uninterrupted(long_job()))
        series = server.get(f'jobs/{job_id}/metrics?keys=train/loss').json()['series'][0]
        steps = [step for step, _, _ in series['points']]
        self.assertEqual(steps, list(range(1, EPOCHS * STEPS + 1)), 'every step once')

    def test_drain_and_resume(self):
        """SIGTERM in the middle of an epoch: a checkpoint, exit 0 within 10 s, the next start goes on, the same bits"""
        server = self.daemon()
        one_epoch = train_job(train_images=32 * STEPS * EPOCHS, epochs=1)
        job_id = server.submit({**one_epoch, 'threads': 2})
        server.wait(job_id, lambda job: job['progress']['step'] > 0 and job['state'] == 'running', 'the first steps')
        self.assertEqual(server.stop(10), 0, server.log())
        server = self.daemon()
        job = server.finish(job_id)
        self.assertGreater(job['resumed_step'], 0)
        self.assertLess(job['resumed_step'], STEPS * EPOCHS)
        self.assertEqual(server.checkpoint(job_id).sha256(), self.uninterrupted(one_epoch))

    def test_corrupt_checkpoint(self):
        """a corrupt checkpoint: recovery falls back one, says so, and ends with the same bits"""
        server = self.daemon()
        job_id = server.submit(long_job())
        server.wait(job_id, lambda job: 3 <= job['progress']['epoch'] < EPOCHS, 'three epochs')
        server.kill()
        files = glob.glob(self.path('data/**/*.safetensors'), recursive=True)
        newest = max(files, key=os.path.getmtime)
        with open(newest, 'r+b') as file:
            file.seek(os.path.getsize(newest) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        server = self.daemon()
        job = server.finish(job_id)
        self.assertGreaterEqual(job['resumed_step'], 2 * STEPS)
        self.assertIn('checkpoint', job['reason'] or '', job)
        self.assertEqual(server.checkpoint(job_id).sha256(), self.uninterrupted(long_job()))

    def test_crash_loop(self):
        """three attempts without progress end as failed, and the daemon goes on with the next job"""
        job_id = None
        for attempt in (1, 2, 3):
            server = self.daemon()
            job_id = job_id or server.submit(train_job(train_images=4096, epochs=1, model={'name': 'resnet18', 'width': 32}))
            server.wait(job_id, lambda job: job['state'] == 'running' and job['attempt'] == attempt, f'attempt {attempt}')
            server.kill()
        server = self.daemon()
        job = server.finish(job_id, 'failed')
        self.assertEqual(job['attempt'], 3)
        self.assertTrue(job['reason'])
        server.finish(server.submit(train_job(epochs=1)))


if __name__ == '__main__':
    harness.main()
