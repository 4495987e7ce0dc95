/**
 * A header of our own, by which a watcher of metadata says what it will not read. Garbage collectors watch every object of the cluster, and the
 * managedFields that they throw away are half of what they would be sent and decode. Servers that do not know it send them.
 */
export const OMIT_HEADER = 'coracle-omit';
export const MANAGED_FIELDS = 'managedFields';
