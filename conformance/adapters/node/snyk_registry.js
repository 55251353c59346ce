// @snyk/docker-registry-v2-client: the manifest for a platform, its config and layers.
// Documents come parsed, so that their bytes cannot be kept.
'use strict';

const { Layout, MANIFESTS, check, load, run, split } = require('./_contract.js');

async function pull(request, folder) {
    const client = load('@snyk/docker-registry-v2-client');
    const { registry, repository, target } = split(request.ref);
    const user = [request.username || undefined, request.password || undefined];
    const options = {
        protocol: request.plain_http ? 'http:' : 'https:',
        acceptManifest: MANIFESTS.join(', '),
    };
    const [os, architecture, variant] = (request.platform || 'linux/amd64').split('/');
    const platform = { os, architecture, variant };
    const manifest = check(
        await client.getManifest(registry, repository, target, ...user, options, platform));
    await client.getImageConfig(registry, repository, manifest.config.digest, ...user, options);
    const layout = new Layout(folder);
    for (const layer of manifest.layers) {
        await client.downloadLayer(layout.partial, registry, repository, layer.digest, ...user, options);
        layout.keep(layer.digest);
    }
}

const features = ['basic-auth', 'cancel', 'digest-ref', 'plain-http', 'platform', 'tls', 'token-auth'];
run('snyk-registry-client', '@snyk/docker-registry-v2-client', features, pull);
