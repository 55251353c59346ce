// docker-registry-client: manifests and blobs over callbacks.
'use strict';

require('./_joyent.js')('docker-registry-client-js', 'docker-registry-client');
