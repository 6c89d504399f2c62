/** The one part of node-forge that the mesh loads: importing the whole package costs several times as much. */
declare module 'node-forge/lib/asn1.js' {
  /** One ASN.1 value; a primitive one holds its bytes as latin1. */
  export interface Asn1 {
    readonly tagClass: number
    readonly type: number
    readonly constructed: boolean
    readonly value: string | readonly Asn1[]
  }

  interface ParseOptions {
    readonly strict: boolean
    readonly parseAllBytes: boolean
    /** False: a BIT STRING stays bytes, even if they happen to read as ASN.1. */
    readonly decodeBitStrings: boolean
  }

  interface Bytes {
    readonly getBytes: () => string
  }

  const asn1: {
    readonly create: (tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]) => Asn1
    readonly fromDer: (bytes: string, options: ParseOptions) => Asn1
    readonly toDer: (value: Asn1) => Bytes
    readonly oidToDer: (oid: string) => Bytes
    readonly derToOid: (bytes: string) => string
  }
  export default asn1
}
