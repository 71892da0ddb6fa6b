#!/usr/bin/env python3
"""Time-lapses over HTTP: what a job keeps of each epoch is the same however it was interrupted; the pictures made of it are what their
format says, byte by byte."""
import hashlib
import os
import sqlite3
import struct
import zlib

import harness
from harness import train_job

WATCH = {'images': [3, 0], 'layer': None, 'method': 'gradcam'}
SIGNATURE = b'\x89PNG\r\n\x1a\n'


def lease_job(threads):
    tiny = dict(channels=4, cells=3, batch_size=16, epochs=2)
    return {'kind': 'lease', 'seed': 1, 'threads': threads, 'params': {
        'dataset': 'shapes', 'train_images': 128, 'test_images': 32, 'rounds': 2, 'explanation': {'steps': 1}, 'explainer': tiny,
        'audience': {'model': {'name': 'resnet18', 'width': 4}, 'batch_size': 16, 'epochs': 2}, 'timelapse': WATCH}}


def chunks(body):
    """(type, data) of each chunk of a PNG; every length and every CRC has to be right."""
    assert body[:8] == SIGNATURE, 'signature'
    found, at = [], 8
    while at < len(body):
        size, kind = struct.unpack('>I4s', body[at:at + 8])
        data = body[at + 8:at + 8 + size]
        assert len(data) == size, f'{kind} is cut short'
        assert struct.unpack('>I', body[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + data), f'CRC of {kind}'
        found.append((kind.decode(), data))
        at += 12 + size
    return found


def frames(body):
    """(width, height, the bytes of each frame's rows with their filters) of an animated PNG, checked as a player would."""
    found = chunks(body)
    assert found[0][0] == 'IHDR' and found[-1] == ('IEND', b''), 'first and last chunk'
    width, height, depth, colour = struct.unpack('>IIBB', found[0][1][:10])
    assert (depth, colour) == (8, 2), '8-bit RGB'
    kinds = [kind for kind, _ in found]
    assert kinds.count('acTL') == 1 and kinds.index('acTL') < kinds.index('IDAT'), 'acTL comes before the pixels'
    count, plays = struct.unpack('>II', dict(found)['acTL'])
    assert plays == 0, 'it plays for ever'
    sequence, streams = 0, []
    for kind, data in found:
        if kind == 'fcTL':
            number, w, h, x, y, numerator, denominator, dispose, blend = struct.unpack('>IIIIIHHBB', data)
            assert (number, w, h, x, y, dispose, blend) == (sequence, width, height, 0, 0, 0, 0), 'fcTL'
            assert numerator > 0 and denominator > 0, 'a delay'
            sequence += 1
            streams.append(b'')
        elif kind == 'IDAT':
            assert len(streams) == 1, 'IDAT is the first frame'
            streams[0] += data
        elif kind == 'fdAT':
            assert len(streams) > 1 and struct.unpack('>I', data[:4])[0] == sequence, 'fdAT'
            sequence += 1
            streams[-1] += data[4:]
    assert len(streams) == count, 'as many frames as announced'
    return width, height, [zlib.decompress(stream) for stream in streams]


class Timelapse(harness.Case):
    def kept(self, job_id):
        """name -> SHA-256 of what the job keeps of its epochs."""
        folder = self.path(f'data/jobs/{job_id}/timelapse')
        found = {}
        for root, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(root, name), 'rb') as file:
                    found[os.path.relpath(os.path.join(root, name), folder)] = hashlib.sha256(file.read()).hexdigest()
        return found

    def lose_newest(self, job_id, part):
        """As if the kill had come right after an epoch's checkpoint: what follows it is not there."""
        with sqlite3.connect(self.path('data/leased.db')) as rows:
            epoch, = rows.execute('SELECT max(epoch) FROM checkpoints WHERE job = ? AND NOT partial', (job_id,)).fetchone()
            name = f'timelapse/{part}{epoch}'
            rows.execute('DELETE FROM artefacts WHERE job = ? AND name = ?', (job_id, name))
        rows.close()
        path = self.path(f'data/jobs/{job_id}/{name}.safetensors')
        if os.path.exists(path):
            os.remove(path)

    def same_however_interrupted(self, job, part, files):
        """`job(threads)` keeps the same on 1 thread, and on 2, killed between a checkpoint and its maps."""
        server = self.daemon()
        whole = server.submit(job(1))
        server.finish(whole, seconds=120)
        self.assertEqual(sorted(self.kept(whole)), sorted(files))
        killed = server.submit(job(2))
        server.wait(killed, lambda job: 2 <= job['progress']['epoch'] < job['progress']['epochs'], 'two epochs')
        server.kill()
        self.lose_newest(killed, part)
        server = self.daemon()
        done = server.finish(killed, seconds=120)
        self.assertEqual(done['attempt'], 2)
        self.assertEqual(self.kept(killed), self.kept(whole))
        return server, killed

    def test_killed(self):
        """a job that is killed with kill -9 keeps the same maps as one that is not; their pictures are whole"""
        server, job_id = self.same_however_interrupted(
            lambda threads: train_job(epochs=6, threads=threads, timelapse=WATCH), '', [f'{epoch}.safetensors' for epoch in range(1, 7)])
        told = server.get(f'jobs/{job_id}/timelapse').json()
        self.assertEqual([epoch['epoch'] for epoch in told['epochs']], [1, 2, 3, 4, 5, 6])
        self.assertEqual(told['images'], [3, 0])
        answer = server.get(f'jobs/{job_id}/timelapse/3.png?fps=2')
        self.assertEqual((answer.status, answer.headers.get_content_type()), (200, 'image/png'))
        width, height, rows = frames(answer.body)
        self.assertEqual((width, height, len(rows)), (256, 256, 6))
        for frame in rows:
            self.assertEqual(len(frame), height * (1 + 3 * width))
        self.assertGreater(len(set(rows)), 1, 'attention moves')
        strip = chunks(server.get(f'jobs/{job_id}/timelapse/3.png?as=strip&scale=2').body)
        self.assertEqual(struct.unpack('>II', strip[0][1][:8]), (6 * 64 + 5 * 2, 64))
        again = server.request('GET', f'jobs/{job_id}/timelapse/3.png?fps=2', headers={'If-None-Match': answer.headers['ETag']})
        self.assertEqual(again.status, 304)
        last = server.get(f'jobs/{job_id}/heatmaps/3.png')
        self.assertEqual(told['epochs'][-1]['predicted'][0], int(last.headers['Leased-Predicted']))
        self.assertIn('leased_timelapse_missed_total 0', server.get('/metrics').body.decode())

    def test_killed_lease(self):
        """of a lease both networks' maps are kept, killed or not"""
        epochs = range(1, 11)  # two rounds of two epochs, two epochs and one
        server, job_id = self.same_however_interrupted(
            lease_job, 'audience/', [f'{network}/{epoch}.safetensors' for network in ('audience', 'explainer') for epoch in epochs])
        for network in ('explainer', 'audience'):
            told = server.get(f'jobs/{job_id}/timelapse?model={network}').json()
            self.assertEqual(told['model'], network)
            self.assertEqual([epoch['epoch'] for epoch in told['epochs']], list(epochs))
            self.assertEqual(len(frames(server.get(f'jobs/{job_id}/timelapse/0.png?model={network}').body)[2]), 10)

    def test_refused(self):
        """a layer, an image, a method that there are not: 422, naming the field, listing what there is"""
        server = self.daemon()
        for wrong, pointer, word in (
                ({'layer': 'layer9'}, 'layer', 'layer3'), ({'images': [64]}, 'images/0', '64'), ({'images': [-1]}, 'images/0', '0'),
                ({'method': 'guess'}, 'method', 'gradcam'), ({'images': list(range(17))}, 'images', '16')):
            job = train_job(timelapse={**WATCH, **wrong})
            self.assert_problem(server.post('jobs', job), 422, f'/params/timelapse/{pointer}', word)
        self.assert_alive(server)


if __name__ == '__main__':
    harness.main()
