// What the executables in this folder share: the contract (ADAPTER.md), and an OCI
// layout. Each is a small program as a user of its library would write it. The
// libraries are those of the folder that PULL_CONFORMANCE_NODE names, or else of
// the folder in which the suite was started.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const { createRequire } = require('module');
const path = require('path');

const NOT_IMPLEMENTED = 3;
const folder = path.resolve(process.env.PULL_CONFORMANCE_NODE || process.cwd());
const load = createRequire(path.join(folder, 'index.js'));

const MANIFESTS = [
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.docker.distribution.manifest.v2+json',
];
const ARCHITECTURES = { x64: 'amd64', arm: 'arm/v7', ia32: '386' };

function say(answer) {
    fs.writeSync(1, `${JSON.stringify(answer)}\n`);
}

function versionOf(name) {
    for (const parent of load.resolve.paths(name)) {
        const file = path.join(parent, name, 'package.json');
        if (fs.existsSync(file)) {
            return JSON.parse(fs.readFileSync(file, 'utf8')).version;
        }
    }
    return null;
}

// The class of an error; "Error" of a TypeError that is none: fetch() and URL() report
// what they cannot reach or read with it. What goes wrong in these programs here is
// not the library's.
function kindOf(err) {
    const [frame] = /^ +at .*$/m.exec((err && err.stack) || '') || [''];
    const meant = err instanceof TypeError && (err.cause || err.code === 'ERR_INVALID_URL');
    return meant || frame.includes(__dirname) ? 'Error' : (err && err.name) || 'Error';
}

// Answer the one question of this process. `pull(request, folder)` returns a
// promise; that it never settles is a failure, too: node ends when nothing is left
// to wait for.
function run(name, packageName, features, pull) {
    const verb = process.argv[2];
    if (verb === 'capabilities') {
        const version = versionOf(packageName);
        const missing = version ? undefined : `${packageName}: not in node_modules of ${folder}`;
        say({ name, version: version || 'unknown', features, missing });
        return;
    }
    if (verb !== 'pull') {
        process.exit(NOT_IMPLEMENTED);
    }
    const request = JSON.parse(fs.readFileSync(0, 'utf8'));
    const pulled = path.join(request.root, 'pulled');
    fs.mkdirSync(pulled, { recursive: true });
    const fail = (err) => {
        const name = (err && err.name) || 'Error';
        const text = String((err && err.message) || err).replace(/\s+/g, ' ');
        say({ ok: false, exit: 1, error: { class: kindOf(err), message: `${name}: ${text}` } });
        process.exit(0);
    };
    process.on('uncaughtException', fail);
    process.on('beforeExit', () => fail(new Error('the promise of the pull never settled')));
    // Libraries that print must not spoil the answer.
    console.log = console.info = console.error;
    Promise.resolve()
        .then(() => pull(request, pulled))
        .then(() => {
            say({ ok: true, exit: 0 });
            process.exit(0);
        }, fail);
}

function split(ref) {
    const slash = ref.indexOf('/');
    const [named, digest] = ref.slice(slash + 1).split('@');
    const [repository, tag] = named.split(':');
    return { registry: ref.slice(0, slash), repository, target: digest || tag || 'latest' };
}

// The digest of the manifest for this machine, for libraries that do not choose.
function choose(index) {
    const wanted = `linux/${ARCHITECTURES[process.arch] || process.arch}`;
    for (const entry of index.manifests) {
        const told = entry.platform || {};
        const words = [told.os, told.architecture, told.variant];
        if (words.filter(Boolean).join('/') === wanted) {
            return entry.digest;
        }
    }
    throw new Error(`no manifest for ${wanted}`);
}

// An OCI image layout in which every blob lies under the digest asked for.
class Layout {
    constructor(root) {
        this.blobs = path.join(root, 'blobs');
        this.partial = path.join(root, 'partial');
        fs.writeFileSync(path.join(root, 'oci-layout'), '{"imageLayoutVersion": "1.0.0"}');
    }

    path(digest) {
        const found = /^([a-z0-9]+):([A-Za-z0-9]+)$/.exec(digest);
        if (!found) {
            throw new Error(`${JSON.stringify(digest)} is no digest`);
        }
        fs.mkdirSync(path.join(this.blobs, found[1]), { recursive: true });
        return path.join(this.blobs, found[1], found[2]);
    }

    // Keep a manifest or an index, asked for by a tag or by its digest.
    writeDocument(target, data) {
        const own = `sha256:${crypto.createHash('sha256').update(data).digest('hex')}`;
        fs.writeFileSync(this.path(target.includes(':') ? target : own), data);
    }

    // Keep a blob once all of it has come.
    async write(digest, chunks) {
        const file = fs.openSync(this.partial, 'w');
        for await (const chunk of chunks) {
            fs.writeSync(file, chunk);
        }
        fs.closeSync(file);
        this.keep(digest);
    }

    // Keep what has been written to `partial`.
    keep(digest) {
        fs.renameSync(this.partial, this.path(digest));
    }
}

// Make sure that a document is a manifest or an index.
function check(document) {
    const whole = document && (document.manifests || (document.config && document.layers));
    if (!whole || Array.isArray(document)) {
        throw new Error('a document that is neither a manifest nor an index');
    }
    return document;
}

// Pull the manifest for this machine, its config and its layers.
async function pullImage(request, root, { document, blob }) {
    const layout = new Layout(root);
    const get = async (target) => {
        const data = Buffer.from(await document(target));
        layout.writeDocument(target, data);
        return check(JSON.parse(data));
    };
    let manifest = await get(split(request.ref).target);
    if (manifest.manifests) {
        manifest = await get(choose(manifest));
    }
    for (const descriptor of [manifest.config, ...manifest.layers]) {
        await layout.write(descriptor.digest, await blob(descriptor.digest));
    }
}

module.exports = { Layout, MANIFESTS, check, load, pullImage, run, split };
