#!/usr/bin/env python3
"""One job from end to end: trained, watched, kept, explained, evaluated, cancelled."""
import ast
import json
import struct
import urllib.parse
import zlib

import harness
from harness import train_job


def png_pixels(data):
    """Width, height and the decoded rows of an 8-bit RGB or RGBA PNG; fails on anything that a viewer would not show."""
    assert data[:8] == b'\x89PNG\r\n\x1a\n', data[:8]
    offset, packed, seen = 8, b'', []
    while offset < len(data):
        length, kind = struct.unpack('>I4s', data[offset:offset + 8])
        body = data[offset + 8:offset + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack('>I', data[offset + 8 + length:offset + 12 + length])[0], kind
        seen.append(kind)
        if kind == b'IHDR':
            width, height, depth, colour = struct.unpack('>IIBB', body[:10])
        packed += body if kind == b'IDAT' else b''
        offset += 12 + length
    assert seen[0] == b'IHDR' and seen[-1] == b'IEND' and depth == 8, seen
    rows = zlib.decompress(packed)
    assert len(rows) == height * (1 + width * {2: 3, 6: 4}[colour])
    return width, height, rows


def npy_array(data):
    """Shape and values of a float32 .npy file."""
    assert data[:6] == b'\x93NUMPY', data[:6]
    size, start = (struct.unpack('<H', data[8:10])[0], 10) if data[6] == 1 else (struct.unpack('<I', data[8:12])[0], 12)
    header = ast.literal_eval(data[start:start + size].decode())
    assert header['descr'] == '<f4' and header['fortran_order'] is False, header
    values = data[start + size:]
    return header['shape'], struct.unpack(f'<{len(values) // 4}f', values)


def safetensors_header(data):
    size = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8 + size])


class Journey(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.daemon()

    def trained(self, **options):
        job_id = self.server.submit(train_job(**options))
        return job_id, self.server.finish(job_id)

    def test_trains_to_the_end(self):
        """a training job runs to its end and says how it went"""
        job_id, job = self.trained(epochs=2)
        self.assertEqual((job['kind'], job['attempt'], job['resumed_step']), ('train', 1, 0))
        self.assertEqual(job['progress']['epoch'], 2)
        self.assertEqual((job['progress']['step'], job['progress']['steps']), (8, 8))
        self.assertLessEqual(0, job['latest']['test/accuracy'])
        self.assertLessEqual(job['latest']['test/accuracy'], 1)
        self.assertEqual(job['params']['optimizer']['momentum'], 0.9, 'defaults are filled in')
        self.assertIn(job_id, [item['id'] for item in self.server.get('jobs').json()['items']])

    def test_learns(self):
        """training lowers the loss"""
        job_id, _ = self.trained(train_images=512, epochs=6)
        series = self.server.get(f'jobs/{job_id}/metrics?keys=train/loss').json()['series']
        points = [value for _, value, _ in series[0]['points']]
        third = len(points) // 3
        self.assertLess(sum(points[-third:]) / third, sum(points[:third]) / third)

    def test_metrics_arrive_while_it_runs(self):
        """metrics arrive while the job runs"""
        job_id = self.server.submit(train_job(train_images=512, epochs=40))

        def points():
            series = self.server.get(f'jobs/{job_id}/metrics?keys=train/loss').json()['series']
            return series[0]['points'] if series else []

        self.server.wait(job_id, lambda job: job['state'] == 'running' and len(points()) > 0, 'the first metrics')
        seen = len(points())
        job = self.server.wait(job_id, lambda job: len(points()) > seen, 'more metrics')
        self.assertEqual(job['state'], 'running')
        steps = [step for step, _, _ in points()]
        self.assertEqual(steps, sorted(set(steps)), 'one value a step, in order')
        self.assertEqual(self.server.post(f'jobs/{job_id}/cancel').status, 202)

    def test_checkpoints(self):
        """checkpoints: the two newest and every n-th are kept, others answer 404, best needs validation images"""
        job_id, _ = self.trained(epochs=4, checkpoint_every=2)
        latest = self.server.checkpoint(job_id, 'latest')
        self.assertEqual(latest.sha256(), self.server.checkpoint(job_id, 4).sha256())
        self.assertNotEqual(latest.sha256(), self.server.checkpoint(job_id, 2).sha256())
        self.assert_problem(self.server.get(f'jobs/{job_id}/checkpoints/1'), 404)
        self.assert_problem(self.server.get(f'jobs/{job_id}/checkpoints/best'), 404)
        header = safetensors_header(latest.body)
        self.assertEqual(header['conv1.weight']['dtype'], 'F32')
        self.assertEqual(header['conv1.weight']['shape'], [4, 3, 3, 3])
        self.assertIn('layer2.0.downsample.0.weight', header)
        self.assertTrue(any(name.startswith('optimizer.') for name in header))
        names = [name for name in header if name != '__metadata__']
        self.assertEqual(names, sorted(names))

    def test_best_is_the_best_epoch(self):
        """best is the epoch of the highest validation accuracy, the earliest on ties"""
        job_id, _ = self.trained(epochs=3, train_images=192, val_images=64, checkpoint_every=1)
        series = self.server.get(f'jobs/{job_id}/metrics?keys=val/accuracy').json()['series'][0]['points']
        accuracies = [value for _, value, _ in series]
        self.assertEqual(len(accuracies), 3)
        best = accuracies.index(max(accuracies)) + 1
        self.assertEqual(self.server.checkpoint(job_id, 'best').sha256(), self.server.checkpoint(job_id, best).sha256())

    def test_weights_only(self):
        """?weights=1 leaves the optimiser state out"""
        job_id, _ = self.trained(epochs=1)
        full = safetensors_header(self.server.checkpoint(job_id).body)
        weights = safetensors_header(self.server.checkpoint(job_id, 'latest?weights=1').body)
        self.assertEqual([n for n in full if not n.startswith('optimizer.') and n != '__metadata__'],
                         [n for n in weights if n != '__metadata__'])

    def test_heat_maps(self):
        """heat maps: a PNG that decodes, and the raw map at the layer's own resolution"""
        job_id, _ = self.trained(epochs=1)
        layers = {layer['name']: layer['shape'] for layer in self.server.get(f'jobs/{job_id}/layers').json()['items']}
        for layer, side in (('layer1', 32), ('layer2', 16), ('layer3', 8), ('layer4', 4)):
            self.assertEqual(layers[layer][-3:-1], [side, side])
            shape, values = npy_array(self.server.get(f'jobs/{job_id}/heatmaps/0.npy?layer={layer}&class=3').body)
            self.assertEqual(shape, (side, side))
            self.assertTrue(all(value >= 0 for value in values), 'after the ReLU, never NaN')
        answer = self.server.get(f'jobs/{job_id}/heatmaps/5.png?layer=layer3&class=3')
        self.assertEqual((answer.status, answer.headers.get_content_type()), (200, 'image/png'))
        width, height, rows = png_pixels(answer.body)
        self.assertEqual((width, height), (256, 256))
        self.assertGreater(len(set(rows)), 16, 'not one flat colour')
        width, height, _ = png_pixels(self.server.get(f'jobs/{job_id}/heatmaps/5.png?scale=1&blend=1').body)
        self.assertEqual((width, height), (32, 32))
        signed = npy_array(self.server.get(f'jobs/{job_id}/heatmaps/0.npy?layer=layer3.1.conv2&signed=1').body)[1]
        self.assertTrue(any(value < 0 for value in signed), 'before the ReLU some values are negative')

    def test_heat_maps_refused(self):
        """heat maps that cannot be: the problem names the parameter"""
        job_id, _ = self.trained(epochs=1)
        for query, word in (('layer=nowhere', 'layer'), ('class=10', 'class'), ('class=x', 'class'), ('scale=33', 'scale'),
                            ('blend=2', 'blend'), ('method=magic', 'method'), ('split=nope', 'split'), ('colour=red', 'colour')):
            self.assert_problem(self.server.get(f'jobs/{job_id}/heatmaps/0.png?{query}'), 422, word=word)
        self.assert_problem(self.server.get(f'jobs/{job_id}/heatmaps/64.png'), 404)
        self.assert_problem(self.server.get('jobs/999/heatmaps/0.png'), 404)
        self.assert_alive(self.server)

    def test_layers_beside_the_path(self):
        """an auxiliary head's layers, which the class scores do not depend on, have no heat map"""
        model = {'name': 'genotype', 'cells': 3, 'channels': 4, 'auxiliary': 0.4}
        job_id, _ = self.trained(train_images=8, epochs=1, model=model, test_images=8, batch_size=8)
        for layer in self.server.get(f'jobs/{job_id}/layers').json()['items']:
            name = layer['name']
            answer = self.server.get(f'jobs/{job_id}/heatmaps/0.npy?layer={urllib.parse.quote(name)}')
            if len(layer['shape']) == 3 and not name.startswith('auxiliary_head'):
                self.assertEqual(npy_array(answer.body)[0], tuple(layer['shape'][:2]), name)
            else:
                self.assert_problem(answer, 422, '/layer')
        self.assert_alive(self.server)

    def test_evaluate(self):
        """an evaluate job of the checkpoint gives the accuracy of the last epoch"""
        job_id, job = self.trained(epochs=2)
        evaluation = self.server.submit({'kind': 'evaluate', 'params': {
            'dataset': 'shapes', 'test_images': 64, 'checkpoint': {'job': job_id, 'epoch': 'latest'}}})
        evaluated = self.server.finish(evaluation)
        self.assertEqual(evaluated['latest']['test/accuracy'], job['latest']['test/accuracy'])
        self.assertAlmostEqual(evaluated['latest']['test/loss'], job['latest']['test/loss'], places=5)

    def test_evaluate_needs_a_finished_job(self):
        """a job that reads another refuses one that is not there or not finished"""
        running = self.server.submit(train_job(train_images=1024, epochs=500))
        for job_id in (running, 999):
            self.assert_problem(self.server.post('jobs', {'kind': 'evaluate', 'params': {
                'dataset': 'shapes', 'checkpoint': {'job': job_id}}}), 422, word='checkpoint')
        self.server.post(f'jobs/{running}/cancel')

    def test_cancel(self):
        """a running job and a waiting one are cancelled; a second time is a conflict"""
        running = self.server.submit(train_job(train_images=1024, epochs=500))
        waiting = self.server.submit(train_job())
        self.server.wait(running, lambda job: job['state'] == 'running', 'running')
        for job_id in (waiting, running):
            answer = self.server.post(f'jobs/{job_id}/cancel')
            self.assertEqual(answer.status, 202, answer.body)
            self.assertEqual(self.server.finish(job_id, 'cancelled')['desired_state'], 'cancelled')
            self.assert_problem(self.server.post(f'jobs/{job_id}/cancel'), 409)
        self.assert_problem(self.server.get(f'jobs/{waiting}/checkpoints/latest'), 404)
        self.assert_problem(self.server.get(f'jobs/{waiting}/heatmaps/0.png'), 409)

    def test_tiny_preset(self):
        """{"preset": "tiny"} is a whole job: it ends soon, with a good accuracy, and says what it was made of"""
        job = self.server.finish(self.server.submit({'preset': 'tiny', 'threads': 2}))
        self.assertGreater(job['latest']['test/accuracy'], 0.85)
        self.assertEqual((job['preset'], job['kind'], job['params']['model']['name']), ('tiny', 'train', 'resnet9'))
        self.assertEqual(self.server.get('presets').json()['items'][0]['name'], 'tiny')

    def test_preview(self):
        """a sheet of augmented images is a picture of the size asked for, the same each time, another in another epoch"""
        sheet = 'datasets/shapes/preview.png?images=8&columns=4&scale=2&seed=3&augment=' + urllib.parse.quote(json.dumps(
            [{'name': 'shift'}, {'name': 'flip'}, {'name': 'cutmix', 'probability': 1}]))
        first, again, later = (self.server.get(sheet + epoch) for epoch in ('', '&epoch=0', '&epoch=1'))
        self.assertEqual(first.headers.get_content_type(), 'image/png')
        width, height, rows = png_pixels(first.body)
        self.assertGreaterEqual(width, 4 * 64)
        self.assertGreaterEqual(height, 2 * 64)
        self.assertGreater(len(set(rows)), 50)
        self.assertEqual(first.body, again.body)
        self.assertNotEqual(first.body, later.body)
        self.assert_problem(self.server.get('datasets/nothing/preview.png'), 404)
        self.assert_problem(self.server.get('datasets/shapes/preview.png?augment=flip'), 422, '/augment')

    def test_system_pages(self):
        """health, metrics, kinds and the contract are served"""
        self.assertEqual(self.server.get('/livez').status, 200)
        self.assertEqual(self.server.get('/readyz').status, 200)
        self.assertEqual(self.server.get('system').json()['limits']['json_depth'], 64)
        self.assertEqual({kind['name'] for kind in self.server.get('kinds').json()['items']},
                         {'train', 'evaluate', 'search', 'derive', 'evalarch', 'explain', 'audience', 'lease', 'quality', 'robustness'})
        self.assertTrue(self.server.get('openapi.json').json()['openapi'].startswith('3.1'))
        metrics = self.server.get('/metrics')
        self.assertEqual(metrics.headers.get_content_type(), 'text/plain')
        self.assertIn(b'# TYPE leased_', metrics.body)
        page = self.server.get('/')
        self.assertEqual(page.headers.get_content_type(), 'text/html')


if __name__ == '__main__':
    harness.main()
