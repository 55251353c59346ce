// @renovatebot/docker-registry-client: the same without OCI's media types.
'use strict';

require('./_joyent.js')('renovate-client', '@renovatebot/docker-registry-client');
