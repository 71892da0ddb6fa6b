#!/usr/bin/env python3
"""Explanations over HTTP: pictures that somebody sends, contact sheets, ETags; hostile input costs no more than its refusal."""
import concurrent.futures
import os
import re
import shutil
import struct
import tempfile
import zlib

import harness
from harness import train_job
from test_journey import npy_array, png_pixels

MIB = 1 << 20
JPEG = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../fuzz/corpus/jpeg/rgb')


def png(width, height, colour=2, depth=8, rows=None):
    """A PNG of one colour; with `rows` (raw bytes) of anything, or of nothing at all."""
    samples = {0: 1, 2: 3, 6: 4}[colour] * depth // 8
    if rows is None:
        row, packer = b'\0' + b'\x55' * (width * samples), zlib.compressobj(1)
        rows = b''.join([packer.compress(row) for _ in range(height)] + [packer.flush()])

    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))
            + chunk(b'IDAT', rows) + chunk(b'IEND', b''))


def form(**parts):
    lines = [b'--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), body) for name, body in parts.items()]
    return b''.join(lines) + b'--XX--\r\n'


class Explanations(harness.Case):
    """One daemon and one trained network for all tests."""

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix='leased-e2e-')
        cls.server = None
        cls.start()
        cls.job_id = cls.server.submit(train_job(epochs=2, checkpoint_every=1))
        cls.server.finish(cls.job_id)

    @classmethod
    def tearDownClass(cls):
        if cls.server.alive():
            cls.server.kill()
        shutil.rmtree(cls.home, ignore_errors=True)

    @classmethod
    def start(cls):
        cls.server = harness.Daemon(os.path.join(cls.home, 'data')).start()

    def restart(self):
        self.assertEqual(self.server.stop(), 0)
        self.start()

    def kept(self):
        return [item['id'] for item in self.server.get('explanations').json()['items']]

    def pictures(self, answer):
        """Of the daemon's counters: pictures that were `cached` or `computed`."""
        return int(re.search(rf'\nleased_pictures_{answer}_total (\d+)\n', self.server.get('/metrics').body.decode()).group(1))

    def send(self, image, spec=None, content_type='multipart/form-data; boundary=XX'):
        spec = b'{"checkpoint": {"job": %d}%s}' % (self.job_id, spec or b'')
        return self.server.post('explanations', form(image=image, spec=spec), headers={'Content-Type': content_type})

    def forget_peak(self):
        with open(f'/proc/{self.server.process.pid}/clear_refs', 'w', encoding='ascii') as file:
            file.write('5')
        return self.peak_bytes()

    def peak_bytes(self):
        with open(f'/proc/{self.server.process.pid}/status', encoding='ascii') as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith('VmHWM'))

    def test_a_picture(self):
        """a picture of any kind is explained, kept once, and still there after a restart"""
        with open(JPEG, 'rb') as file:
            jpeg = file.read()
        known = self.kept()
        pictures = {'grey': png(50, 40, 0), '16 bits': png(50, 40, 2, 16), 'transparent': png(40, 50, 6), 'JPEG': jpeg}
        for name, picture in pictures.items():
            self.assertEqual(self.send(picture).status, 201, name)
        answer = self.send(jpeg)
        self.assertEqual(answer.status, 200, 'the same again')
        found = answer.json()
        self.assertEqual(len(found['prediction']), 5)
        self.assertEqual(found['class'], found['prediction'][0])
        shape, _ = npy_array(self.server.get(found['links']['npy']).body)
        self.assertEqual(shape, (found['map']['height'], found['map']['width']))
        picture = self.server.get(found['links']['png'] + '?scale=4')
        self.assertEqual(png_pixels(picture.body)[:2], (128, 128))
        self.restart()
        self.assertEqual(self.server.get(found['links']['self']).json(), found)
        self.assertEqual(self.server.get(found['links']['png'] + '?scale=4').body, picture.body)
        self.assertEqual(len(self.kept()), len(known) + len(pictures))

    def test_a_large_picture(self):
        """forty megapixels are taken and one row more is not, within bounded memory"""
        before = self.forget_peak()
        self.assertEqual(self.send(png(8000, 5000)).status, 201)
        self.assertLess(self.peak_bytes(), before + 500 * MIB)
        self.assert_problem(self.send(png(8000, 5001)), 422, '/image', '40 million')

    def test_bad_pictures(self):
        """bombs, cut files and what is no picture: refused by name, nothing of their size allocated"""
        with open(JPEG, 'rb') as file:
            jpeg = file.read()
        self.send(png(32, 32))
        before = self.forget_peak()
        for name, picture, word in (('bomb', png(50000, 50000, rows=zlib.compress(b'')), '50000 x 50000'),
                                    ('wide', png(100000, 1, rows=zlib.compress(b'')), '100000'),
                                    ('cut JPEG', jpeg[:len(jpeg) // 2], 'JPEG'), ('cut PNG', png(64, 64)[:80], 'PNG'),
                                    ('no rows', png(64, 64, rows=zlib.compress(b'')), 'PNG'), ('text', b'hello', 'neither'),
                                    ('nothing', b'', 'empty'), ('15 MiB of noise', os.urandom(15 * MIB), 'neither')):
            with self.subTest(name):
                self.assert_problem(self.send(picture), 422, '/image', word)
                self.assert_alive(self.server)
        self.assertLess(self.peak_bytes(), before + 100 * MIB)

    def test_bad_forms(self):
        """forms without their parts, with wrong ones, too large or of another type"""
        known = self.kept()
        post, typed = self.server.post, {'Content-Type': 'multipart/form-data; boundary=XX'}
        self.assert_problem(post('explanations', b'', headers=typed), 400)
        self.assert_problem(post('explanations', form(), headers=typed), 422, '/image', 'missing')
        self.assert_problem(post('explanations', form(image=png(8, 8)), headers=typed), 422, '/spec', 'missing')
        self.assert_problem(post('explanations', form(imag=b'', spec=b'{}'), headers=typed), 422, '/imag')
        self.assert_problem(post('explanations', form(image=b'1', spec=b'{"checkpoint": {"job": "1"}}'), headers=typed), 422,
                            '/spec/checkpoint/job')
        self.assert_problem(post('explanations', form(image=b'1', spec=b'nothing'), headers=typed), 422, '/spec')
        self.assert_problem(post('explanations', {}), 415, word='multipart/form-data')
        self.assert_problem(self.send(b'x', content_type='multipart/form-data'), 400)
        self.assert_problem(self.send(os.urandom(16 * MIB)), 413, word='16777216')
        self.assert_problem(self.send(png(8, 8), b', "layer": "nowhere"'), 422, '/spec/layer', 'layer3')
        self.assert_problem(self.send(png(8, 8), b', "class": 10'), 422, '/spec/class')
        self.assertEqual(self.kept(), known)
        self.assert_alive(self.server)

    def test_many_large_bodies(self):
        """more large bodies at once than there is room for: each is answered, memory stays bounded"""
        before = self.forget_peak()
        body = os.urandom(12 * MIB)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: self.send(body), range(12)))
        self.assertTrue(all(answer.status in (422, 503) for answer in answers), [answer.status for answer in answers])
        self.assertIn(422, [answer.status for answer in answers])
        self.assertLess(self.peak_bytes(), before + 300 * MIB)
        self.assertEqual(self.send(png(8, 8)).status, 201, 'afterwards there is room again')

    def test_sheets(self):
        """contact sheets by classes, layers, epochs and methods; known by their ETag"""
        base = f'jobs/{self.job_id}/heatmaps/sheet.png?images=0,1&scale=2'
        for query, columns in (('', 10), ('&by=layers&layers=layer2,layer3', 2), ('&by=epochs', 2),
                               ('&by=methods&methods=gradcam,layercam,eigencam', 3), ('&by=models', 1)):
            answer = self.server.get(base + query)
            self.assertEqual(answer.status, 200, query)
            self.assertEqual(png_pixels(answer.body)[0], 6 + (1 + columns) * 70, query)
            again = self.server.request('GET', base + query, headers={'If-None-Match': answer.headers['ETag']})
            self.assertEqual((again.status, again.body), (304, b''))
        self.assert_problem(self.server.get(base + '&classes=10'), 422, '/classes')
        self.assert_problem(self.server.get(base.replace('scale=2', 'scale=10000')), 422, '/scale')
        self.assert_problem(self.server.get(base + '&by=layers&layers=nowhere'), 422, '/layers', 'layer3')

    def test_cached(self):
        """a picture asked for again is not computed again, nor after it was known and the daemon restarted"""
        path = f'jobs/{self.job_id}/heatmaps/3.png?layer=layer2,layer3&flips=1'
        cached, computed = self.pictures('cached'), self.pictures('computed')
        first, second = self.server.get(path), self.server.get(path)
        self.assertEqual((first.status, first.body), (200, second.body))
        self.assertEqual((self.pictures('cached'), self.pictures('computed')), (cached + 1, computed + 1))
        self.restart()
        known = self.server.request('GET', path, headers={'If-None-Match': first.headers['ETag']})
        self.assertEqual(known.status, 304)
        self.assertEqual(self.pictures('computed'), 0)


if __name__ == '__main__':
    harness.main()
