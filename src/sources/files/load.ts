import { refresh, unread, type FolderState, type LoadedFolder, type LoadOptions } from './folder.ts'

/** What lies behind a load, for a watch that goes on from it. */
const states = new WeakMap<LoadedFolder, FolderState>()

/**
 * Reads every manifest of a folder (or of one file), checked as an API server would and with its defaults filled in. Never
 * throws: what is wrong is in `problems`, and `readable` is false if the folder itself can't be read.
 * @param dir as a person wrote it; problems name files by it
 */
export async function loadFolder(dir: string, options: LoadOptions = {}): Promise<LoadedFolder> {
  const state = await refresh(dir, unread(), options)
  states.set(state.loaded, state)
  return state.loaded
}

/** The state behind a result of `loadFolder`. */
export function stateOf(loaded: LoadedFolder): FolderState | undefined {
  return states.get(loaded)
}
