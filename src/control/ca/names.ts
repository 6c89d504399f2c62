/** What the parts of the CA in a cluster, and `waymark ca`, call things beyond `install`. */
export const caNames = {
  /** Key of the Secret that holds all of the CA. */
  secretKey: 'ca.json',
  /** Key of the ConfigMap in the controller's namespace that tells how the CA stands, without keys. */
  infoKey: 'rotation.json',
  /** On the Secret: the generation that a person wants, one more than the present one. */
  rotateTo: 'waymark.dev/rotate-to',
  /** On the Secret: the generation on the way to which no step waits. */
  rotateForce: 'waymark.dev/rotate-force',
  /** On every ConfigMap: the mesh's memory of its CA, so that a lost or exchanged Secret shows. */
  generation: 'waymark.dev/ca-generation',
  phase: 'waymark.dev/ca-phase',
  /** SHA-256 fingerprints of the trusted roots, oldest first, parted by commas. */
  roots: 'waymark.dev/ca-roots',
} as const
