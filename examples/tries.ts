/** Something to try on the running example, and what then is seen. */
export interface Try {
  readonly title: string
  /** A shell line to paste. */
  readonly command: string
  /** What the output must show, in words. */
  readonly expect: string
  /** Judges the output. */
  readonly holds: (output: string) => boolean
}

/** Where the parts of the running example are reached. */
export interface Places {
  /** Forward proxies, `127.0.0.1:port`, for a workload of each namespace. */
  readonly books: string
  readonly shop: string
  readonly readingClub: string
  /** Mesh port of the waypoint of `books`, `127.0.0.1:port`. */
  readonly waypoint: string
}

const count = (output: string, word: string): number => output.split(word).length - 1

/** The tour of the bookstore: each line shows one thing that the mesh does. */
export function tries({ books, shop, readingClub, waypoint }: Places): readonly Try[] {
  const reviews = 'http://reviews.books:9080'
  return [
    {
      title: 'canary: 100 requests, 90 to v1 and 10 to v2',
      command: `for i in $(seq 100); do curl -s -x http://${readingClub} ${reviews}/; done | grep -o 'reviews-v[12]' | sort | uniq -c`,
      expect: '90 reviews-v1, 10 reviews-v2',
      holds: (output) => /^ *90 reviews-v1\n *10 reviews-v2\s*$/.test(output),
    },
    {
      title: 'A/B test by a header: Jason always gets v2',
      command: `for i in $(seq 10); do curl -s -x http://${books} -H 'x-user: jason' ${reviews}/; done | grep -o 'reviews-v[12]' | sort | uniq -c`,
      expect: '10 reviews-v2',
      holds: (output) => /^ *10 reviews-v2\s*$/.test(output),
    },
    {
      title: 'consumer route: callers in shop get v2 and a header of their own; nobody else does',
      command: `for i in $(seq 10); do curl -s -x http://${shop} ${reviews}/; done | grep -o 'reviews-v2\\|"x-seen-by":"shop"' | sort | uniq -c`,
      expect: '10 times each',
      holds: (output) => /10 "x-seen-by":"shop"/.test(output) && /10 reviews-v2/.test(output) && !output.includes('reviews-v1'),
    },
    {
      title: 'retry: one of the two endpoints of ratings always fails, and nobody notices',
      command: `for i in $(seq 20); do curl -s -o /dev/null -w '%{http_code}\\n' -x http://${books} http://ratings.books:9080/; done | sort | uniq -c`,
      expect: '20 times 200',
      holds: (output) => /^ *20 200\s*$/.test(output),
    },
    {
      title: 'timeout: the backend takes 2 s, the route allows 500 ms',
      command: `curl -s -i -x http://${books} 'http://details.books:9080/details?delay=2000'`,
      expect: '504 with x-waypoint-reason: request-timeout',
      holds: (output) => /^HTTP\/1\.1 504 /.test(output) && output.includes('x-waypoint-reason: request-timeout'),
    },
    {
      title: 'no rule matches: 404, never the Service behind the route\'s back',
      command: `curl -s -i -x http://${books} http://details.books:9080/elsewhere`,
      expect: '404 with x-waypoint-reason: no-route',
      holds: (output) => /^HTTP\/1\.1 404 /.test(output) && output.includes('x-waypoint-reason: no-route'),
    },
    {
      title: 'identity: the backend is told who called, and nobody can claim to be another',
      command: `curl -s -x http://${shop} -H 'x-forwarded-client-cert: URI=spiffe://cluster.local/ns/bank/sa/boss' ${reviews}/ | grep -o 'URI=spiffe://[^";]*'`,
      expect: 'URI=spiffe://cluster.local/ns/shop/sa/till, once',
      holds: (output) => output.trim() === 'URI=spiffe://cluster.local/ns/shop/sa/till',
    },
    {
      title: 'a Service without a waypoint is reached straight',
      command: `curl -s -x http://${shop} http://notes.reading-club:8080/ | grep -o 'notes-1'`,
      expect: 'notes-1',
      holds: (output) => output.trim() === 'notes-1',
    },
    {
      title: 'a stranger without a certificate is refused in the handshake',
      command: `curl -sS -k --http2 https://${waypoint}/ 2>&1; echo "curl: exit $?"`,
      expect: 'an alert and an exit code other than 0',
      holds: (output) => !/exit 0/.test(output) && count(output, 'HTTP/') === 0,
    },
  ]
}
