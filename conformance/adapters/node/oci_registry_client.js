// oci-registry-client: manifests and blobs over promises.
'use strict';

const { Readable } = require('stream');
const { load, pullImage, run, split } = require('./_contract.js');

async function pull(request, folder) {
    const { RegistryClientV2 } = load('oci-registry-client');
    const { registry, repository } = split(request.ref);
    const client = new RegistryClientV2({
        name: `${registry}/${repository}`,
        scheme: request.plain_http ? 'http' : 'https',
        username: request.username || undefined,
        password: request.username ? request.password || '' : undefined,
        acceptOCIManifests: true,
        acceptManifestLists: true,
    });
    await pullImage(request, folder, {
        document: async (ref) => (await client.getManifest({ ref })).resp.dockerBody(),
        blob: async (digest) => (await client.createBlobReadStream({ digest })).stream,
    });
}

const features = ['basic-auth', 'cancel', 'content', 'digest-ref', 'plain-http', 'tls', 'token-auth'];
run('oci-registry-client', 'oci-registry-client', features, pull);
