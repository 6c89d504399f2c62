import { existsSync, readdirSync, readFileSync } from 'node:fs'

/**
 * CPU time that all threads of a process have had so far, user and system together, milliseconds. The threads must not come and go
 * between two calls that are compared. The kernel's own sum, which `utime + stime` of `/proc/PID/stat` give in steps of 10 ms.
 * Source: Linux, Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat".
 */
export function cpuMs(pid: number): number {
  const tasks = `/proc/${pid}/task`
  let nanoseconds = 0
  for (const task of readdirSync(tasks)) nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0])
  return nanoseconds / 1e6
}

/** The most memory that a process has held so far, resident set, MiB. Source: proc_pid_status(5), `VmHWM`. */
export function peakMib(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Whether the CPU time of processes can be read here. */
export function hasProcfs(): boolean {
  return existsSync('/proc/self/task') && existsSync('/proc/self/schedstat')
}

/** Name of the processor. */
export function cpuModel(): string {
  return /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
}

/** Time that all processors together have worked so far, milliseconds. Source: proc_stat(5); 100 steps a second on every Linux that Node runs on. */
export function systemBusyMs(): number {
  const fields = (/^cpu\s+(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '').split(' ').map(Number)
  // user, nice, system, irq, softirq; idle, iowait, steal and guest are not work of this machine's processes.
  return [0, 1, 2, 5, 6].reduce((sum, at) => sum + (fields[at] ?? 0), 0) * 10
}
