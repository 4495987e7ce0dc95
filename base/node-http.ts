/**
 * `node:http` and `node:https` without their ES facades. A facade reads every export when it is made, and one of them (`WebSocket`) loads
 * the whole of undici: 50 ms of every start, and its memory for good. A CommonJS require inside a dependency does no harm.
 */
export const http: typeof import('node:http') = process.getBuiltinModule('node:http');
export const https: typeof import('node:https') = process.getBuiltinModule('node:https');
