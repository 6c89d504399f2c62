import assert from 'node:assert/strict'
import { createPodPorts, type PodPorts } from './port-forward.ts'
import { startForwardServer, type Forwarded, type ForwardServer } from './testing/pod-ports.ts'

const pod = { namespace: 'shop', name: 'waypoint-1' }

describe('ports of pods', () => {
  let server: ForwardServer
  afterEach(() => server.close())
  const start = async (...args: Parameters<typeof startForwardServer>): Promise<PodPorts> => {
    server = await startForwardServer(...args)
    return createPodPorts(server.config)
  }
  /** Answers a request once all of its head is there. */
  const answer = (text: string): ((forwarded: Forwarded, data: Buffer) => void) => {
    let head = ''
    return (forwarded, data) => {
      head += data.toString()
      if (head.includes('\r\n\r\n')) forwarded.send(text)
    }
  }

  it('give a page of a process in the pod, asked for under the pod\'s own loopback address', async () => {
    const seen: string[] = []
    const ports = await start((forwarded, data) => {
      const { url, headers } = forwarded.request
      seen.push(url ?? '', headers.authorization ?? '', data.toString().split('\r\n')[0] ?? '', /host: \S+/i.exec(data.toString())?.[0].toLowerCase() ?? '')
      forwarded.send('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe')
      forwarded.send('llo')
    })
    assert.deepEqual(await ports.get(pod, 15000, '/snapshot'), { status: 200, text: 'hello' })
    assert.deepEqual(seen, ['/api/v1/namespaces/shop/pods/waypoint-1/portforward?ports=15000', 'Bearer secret', 'GET /snapshot HTTP/1.1', 'host: 127.0.0.1:15000'])
  })

  it('give a page that is not fine as what it is', async () => {
    const ports = await start(answer('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\nnot yet\n'))
    assert.deepEqual(await ports.get(pod, 15021, '/readyz'), { status: 503, text: 'not yet\n' })
  })

  it('give a long page whole, also one that ends with the connection', async () => {
    const long = 'x'.repeat(300_000)
    const ports = await start((forwarded) => {
      forwarded.send(`HTTP/1.1 200 OK\r\n\r\n${long.slice(0, 100)}`)
      forwarded.send(long.slice(100, 70_000))
      forwarded.send(long.slice(70_000))
      forwarded.close()
    })
    const { text } = await ports.get(pod, 15000, '/snapshot')
    assert.equal(text.length, long.length)
  })

  it('give lines as they come, and let the connection go when nobody wants more', async () => {
    const closed = Promise.withResolvers<undefined>()
    const ports = await start((forwarded, data) => {
      if (!data.toString().includes('/tap?a=b')) return
      forwarded.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
      for (const part of ['on', 'e\ntwo\nth', 'ree\n']) forwarded.send(`${part.length.toString(16)}\r\n${part}\r\n`)
      forwarded.onClose(() => closed.resolve(undefined))
    })
    const stop = new AbortController()
    const lines: string[] = []
    for await (const line of ports.lines(pod, 15000, '/tap?a=b', stop.signal)) {
      lines.push(line)
      if (lines.length === 3) stop.abort()
    }
    assert.deepEqual(lines, ['one', 'two', 'three'])
    await closed.promise
  })

  it('say what a process answers that has no lines to give', async () => {
    const ports = await start(answer('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\n4 are\n\n'))
    await assert.rejects(async () => {
      for await (const line of ports.lines(pod, 15000, '/tap', new AbortController().signal)) assert.fail(line)
    }, /GET \/tap of port 15000 of pod shop\/waypoint-1: 503 4 are/)
  })

  it('say with its status that the API server does not allow it, or that there is no such pod', async () => {
    for (const status of [403, 404]) {
      const ports = await start(() => {}, () => status)
      await assert.rejects(ports.get(pod, 15000, '/snapshot'), { name: 'KubeError', status })
      if (status === 403) await server.close()
    }
  })

  it('say what the kubelet complains of, as when nothing listens on the port', async () => {
    const words = { 'error forwarding port 15000 to pod 09bc: dial tcp4 127.0.0.1:15000: connect: connection refused': 'nothing listens there', 'no such sandbox\n': 'no such sandbox' }
    for (const [complaint, told] of Object.entries(words)) {
      const ports = await start((forwarded) => forwarded.complain(complaint))
      await assert.rejects(ports.get(pod, 15000, '/snapshot'), { name: 'KubeError', status: 0, message: `GET /snapshot of port 15000 of pod shop/waypoint-1: ${told}` })
      if (told === 'nothing listens there') await server.close()
    }
  })

  it('say that the answer ended in its middle', async () => {
    const ports = await start((forwarded) => {
      forwarded.send('HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhe')
      forwarded.close()
    })
    await assert.rejects(ports.get(pod, 15000, '/snapshot'), { name: 'KubeError', status: 0 })
  })

  it('give up in time on a process that is silent', async () => {
    const ports = await start(() => {})
    await assert.rejects(ports.get(pod, 15000, '/snapshot', 300), { name: 'KubeError', message: /no answer in time$/ })
  })

  it('say that the API server can not be reached', async () => {
    const ports = await start(() => {})
    await server.close()
    await assert.rejects(ports.get(pod, 15000, '/snapshot'), { name: 'KubeError', status: 0, message: /ECONNREFUSED/ })
  })
})
