import type { Snapshot } from '../model/snapshot.ts'
import type { ControlServer } from '../publish/listen.ts'
import type { ControlObserver } from '../publish/observer.ts'
import type { WatchObserver } from '../sources/kube/observer.ts'
import type { StatusObserver } from '../status/writer.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Translation } from '../translate/options.ts'
import type { ClusterCa } from './ca/cluster-ca.ts'

/** What is asked for at scrape time. */
export interface ControllerState {
  readonly leading: () => boolean
  readonly snapshot: () => Snapshot
  readonly ca: ClusterCa
  readonly control: ControlServer
}

/** Where the parts of a controller tell what they do. */
export interface ControllerCounters {
  /** @param watch for what the watches are: the same kind may be followed for several things */
  readonly source: (watch: 'cluster' | 'infra' | 'trust-bundle' | 'ca') => WatchObserver
  readonly status: StatusObserver
  readonly control: ControlObserver
  /** @param tookMs milliseconds that one translation took */
  readonly translated: (tookMs: number, translation: Translation) => void
  /** An agent spoke of a pod of another node. */
  readonly foreignReport: () => void
  /** Gives the source of the gauges. */
  readonly observe: (state: ControllerState) => void
}

/** A count by labels. */
interface Count {
  readonly add: (labels: Readonly<Record<string, string>>, by?: number) => void
}

/** Adds the controller's metrics to `metrics` and gives the callbacks that feed them. */
export function controllerCounters(metrics: Metrics, nowMs: () => number): ControllerCounters {
  const count = (name: string, help: string): Count => {
    const values = new Map<string, { readonly labels: Readonly<Record<string, string>>; value: number }>()
    metrics.register({ name, help, type: 'counter', values: () => [...values.values()] })
    return {
      add: (labels, by = 1) => {
        const key = Object.values(labels).join('|')
        const found = values.get(key)
        if (found === undefined) values.set(key, { labels, value: by })
        else found.value += by
      },
    }
  }
  const gauge = (name: string, help: string, values: () => readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]): void =>
    metrics.register({ name, help, type: 'gauge', values })
  const labelsOf = (key: string): Readonly<Record<string, string>> => JSON.parse(key) as Readonly<Record<string, string>>
  const perWatch = (map: ReadonlyMap<string, number>): readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] =>
    [...map].map(([key, value]) => ({ labels: labelsOf(key), value }))
  const perKind = (map: ReadonlyMap<string, number>): readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] =>
    [...map].map(([kind, value]) => ({ labels: { kind }, value }))

  const events = count('waymark_source_events_total', 'What came over the watches of the API server, by kind and type.')
  const relists = count('waymark_source_relists_total', 'Lists of a whole kind, by reason.')
  const restarts = count('waymark_source_watch_restarts_total', 'Watches that ended, by kind and reason.')
  const bytes = count('waymark_source_bytes_total', 'Bytes read from the API server, by kind.')
  const lastEventMs = new Map<string, number>()
  const synced = new Map<string, number>()
  const held = new Map<string, number>()
  gauge('waymark_source_silence_seconds', 'Time since the last word of a watch, by kind: bookmarks come every minute.', () =>
    [...lastEventMs].map(([labels, atMs]) => ({ labels: labelsOf(labels), value: (nowMs() - atMs) / 1000 })))
  gauge('waymark_source_synced', 'Whether what is held of a kind can be relied on.', () => perWatch(synced))
  gauge('waymark_source_objects', 'Objects held, by kind.', () => perWatch(held))
  const statusWrites = count('waymark_status_writes_total', 'Writes of statuses, by kind and outcome.')
  const statusEvents = count('waymark_status_events_total', 'Kubernetes Events, by outcome.')
  const subscribers = new Map<string, number>()
  gauge('waymark_subscribers', 'Processes that get their configuration from this controller, by kind.', () => perKind(subscribers))
  const sent = count('waymark_publish_bytes_total', 'Bytes sent to subscribers.')
  const updates = count('waymark_publish_updates_total', 'Updates sent; fresh: of a whole slice.')
  const refused = count('waymark_publish_refused_total', 'Connections and streams that were refused, by cause.')
  const reviews = count('waymark_token_reviews_total', 'Tokens that were judged, by result.')
  const signed = count('waymark_certificates_signed_total', 'Requests for a certificate that were answered.')
  const foreign = count('waymark_capture_reports_refused_total', 'Words of node agents about pods of other nodes, which are not believed.')
  const translations = count('waymark_translations_total', 'Translations of the whole cluster.')
  const translationSeconds = count('waymark_translation_seconds_total', 'Time spent in translations.')

  return {
    source: (watch) => {
      const key = (kind: string): string => JSON.stringify({ watch, kind })
      return {
        event: (kind, type, atMs) => {
          events.add({ watch, kind, type })
          lastEventMs.set(key(kind), atMs)
        },
        relist: (kind, reason) => relists.add({ watch, kind, reason }),
        restart: (kind, reason) => restarts.add({ watch, kind, reason }),
        bytes: (kind, by) => bytes.add({ watch, kind }, by),
        synced: (kind, is) => void synced.set(key(kind), is ? 1 : 0),
        held: (kind, number) => void held.set(key(kind), number),
      }
    },
    status: {
      write: (kind, outcome) => statusWrites.add({ kind, outcome }),
      event: (outcome) => statusEvents.add({ outcome }),
    },
    control: {
      subscribers: (kind, by) => void subscribers.set(kind, (subscribers.get(kind) ?? 0) + by),
      sent: (by) => sent.add({}, by),
      updated: (kind, fresh) => updates.add({ kind, fresh: String(fresh) }),
      refused: (cause) => refused.add({ cause }),
      reviewed: (result) => reviews.add({ result }),
      signed: (ok) => signed.add({ ok: String(ok) }),
    },
    translated: (tookMs) => {
      translations.add({})
      translationSeconds.add({}, tookMs / 1000)
    },
    foreignReport: () => foreign.add({}),
    observe: (state) => {
      gauge('waymark_leading', 'Whether this controller holds the Lease and writes.', () => [{ labels: {}, value: state.leading() ? 1 : 0 }])
      gauge('waymark_snapshot_entries', 'Entries of the present configuration.', () => [{ labels: {}, value: state.snapshot().size }])
      gauge('waymark_ca_roots', 'Roots that are trusted now; two while a root is replaced.', () => [{ labels: {}, value: state.ca.bundle().length }])
      gauge('waymark_ca_problems', 'Problems of the CA that somebody should see to.', () => [{ labels: {}, value: state.ca.problems().length }])
    },
  }
}
