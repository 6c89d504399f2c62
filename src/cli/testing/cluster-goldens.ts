import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { clusterCases, clusterGoldenFolder, runCase } from './cluster-cases.ts'

// Writes the golden files anew: read the difference before you commit it.
for (const file of readdirSync(clusterGoldenFolder)) rmSync(new URL(file, clusterGoldenFolder))
for (const each of clusterCases()) writeFileSync(new URL(each.file, clusterGoldenFolder), await runCase(each))
