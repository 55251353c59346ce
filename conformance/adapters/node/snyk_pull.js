// @snyk/snyk-docker-pull: the pull of Snyk's scanner, into image.tar.
'use strict';

const { MANIFESTS, load, run, split } = require('./_contract.js');

async function pull(request, folder) {
    const { DockerPull } = load('@snyk/snyk-docker-pull');
    const { registry, repository, target } = split(request.ref);
    const [os, architecture, variant] = (request.platform || 'linux/amd64').split('/');
    await new DockerPull().pull(registry, repository, target, {
        username: request.username || undefined,
        password: request.password || undefined,
        loadImage: false,
        imageSavePath: folder,
        platform: { os, architecture, variant },
        reqOptions: {
            protocol: request.plain_http ? 'http:' : 'https:',
            acceptManifest: MANIFESTS.join(', '),
        },
    });
}

const features = ['basic-auth', 'cancel', 'content', 'digest-ref', 'plain-http', 'platform', 'tls', 'token-auth'];
run('snyk-docker-pull', '@snyk/snyk-docker-pull', features, pull);
