/** What both ends of the controller's port offer by ALPN; a change that older processes can't read gets another name. */
export const controlProtocol = 'waymark-control/1'

/** Milliseconds between the signs of life of both ends; three without any and the other one is given up. */
export const keepAliveMs = 10_000

/** Milliseconds that a connection may take, each of TCP and TLS. */
export const connectTimeoutMs = 5_000
