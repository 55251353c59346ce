// docker-registry-client and renovate's fork of it have the same functions.
'use strict';

const { load, pullImage, run, split } = require('./_contract.js');

module.exports = function joyent(name, packageName) {
    async function pull(request, folder) {
        const { createClientV2 } = load(packageName);
        const { registry, repository } = split(request.ref);
        const client = createClientV2({
            name: `${registry}/${repository}`,
            scheme: request.plain_http ? 'http' : 'https',
            insecure: request.plain_http,
            username: request.username || undefined,
            password: request.username ? request.password || '' : undefined,
            acceptOCIManifests: true,
            acceptManifestLists: true,
            maxSchemaVersion: 2,
        });
        const document = (ref) =>
            new Promise((resolve, reject) => {
                client.getManifest({ ref }, (err, manifest, response, text) =>
                    err ? reject(err) : resolve(text));
            });
        // The stream is to be read to its end, where the library checks the digest.
        const blob = (digest) =>
            new Promise((resolve, reject) => {
                client.createBlobReadStream({ digest }, (err, stream) => {
                    if (err) {
                        reject(err);
                        return;
                    }
                    const chunks = [];
                    stream.on('error', reject);
                    stream.on('data', (chunk) => chunks.push(chunk));
                    stream.on('end', () => resolve(chunks));
                    stream.resume();
                });
            });
        await pullImage(request, folder, { document, blob });
    }

    const features = ['basic-auth', 'cancel', 'content', 'digest-ref', 'plain-http', 'tls', 'token-auth'];
    run(name, packageName, features, pull);
};
