import { parameterKeys } from '../../src/translate/parameters.ts'
import { table } from './errors.ts'

/** The page of what a Gateway's parameters may say: `docs/waypoint-parameters.md`. */
export function parametersPage(): string {
  return [
    '# Parameters of a waypoint',
    '',
    'The keys of the ConfigMap that `spec.infrastructure.parametersRef` of a waypoint\'s Gateway names; [waypoints.md](waypoints.md#parameters) says how. All of them',
    'are optional, and every value is a string.',
    '',
    table(['Key', 'Value', 'Effect'], parameterKeys.map(({ key, expected, effect }) => [`\`${key}\``, expected, effect])),
    '',
    'One value that can not be used makes none of them count: the Gateway gets `Accepted=False`, `InvalidParameters`, with a sentence for each fault, and what runs stays as it is. A key',
    'that is not in the table has no effect and is warned of.',
    '',
  ].join('\n')
}
