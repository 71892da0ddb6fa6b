#!/usr/bin/env python3
"""first_light_cifar.py SAMPLE -- the full check on real images, by hand: LEASED_BIN=build/leased tests/e2e/first_light_cifar.py DIR

DIR is a folder in the official CIFAR-10 binary layout with 5,000 training and 1,000 test images. ResNet-18 at width 16, 10 epochs,
batch 128, lr 0.02, crop and flip: over 50 % test accuracy (PyTorch: 54-56 %). Prints each epoch; exits 1 below 50 %.
"""
import os
import sys
import tempfile

import harness


def main(sample):
    with tempfile.TemporaryDirectory(prefix='leased-cifar-') as folder:
        server = harness.Daemon(os.path.join(folder, 'data'), '--dataset', 'cifar10=' + sample).start()
        try:
            job_id = server.submit({'kind': 'train', 'seed': 1, 'params': {
                'dataset': 'cifar10', 'model': {'name': 'resnet18', 'width': 16}, 'epochs': 10, 'batch_size': 128,
                'optimizer': {'name': 'sgd', 'lr': 0.02}, 'augment': [{'name': 'crop', 'padding': 4}, {'name': 'flip'}]}})
            for epoch in range(1, 11):
                job = server.wait(job_id, lambda job: job['progress']['epoch'] >= epoch, f'epoch {epoch}', 600)
                print(f'epoch {epoch}: test accuracy {job["latest"].get("test/accuracy")}', flush=True)
            accuracy = server.finish(job_id)['latest']['test/accuracy']
            picture = server.get(f'jobs/{job_id}/heatmaps/0.png?layer=layer3&class=3')
            print(f'test accuracy {accuracy}; heat map: {picture.status}, {len(picture.body)} bytes')
            return 0 if accuracy > 0.5 and picture.body.startswith(b'\x89PNG') else 1
        finally:
            server.kill()


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
