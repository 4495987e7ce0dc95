import { pathSegmentName } from '#api/meta/names.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { Event } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { UNKNOWN } from './printing/cells.ts';
import { text, wideColumn } from './printing/columns.ts';
import { ageOf } from './printing/duration.ts';

const EVENT_TTL_MS = 60 * 60 * 1000;
/** Where events about cluster-scoped objects live. */
const CLUSTER_EVENTS_NAMESPACE = 'default';

function validateEvent(event: Event): FieldError[] {
  const { involvedObject, metadata } = event;
  const subjectNamespace = involvedObject?.namespace ?? '';
  if (subjectNamespace === '') {
    // Anything may be about a cluster-scoped object, so only the two customary homes are accepted.
    return metadata.namespace === CLUSTER_EVENTS_NAMESPACE || metadata.namespace === 'kube-system'
      ? []
      : [invalid('involvedObject.namespace', subjectNamespace, 'does not match event.namespace')];
  }
  return subjectNamespace === metadata.namespace
    ? []
    : [invalid('involvedObject.namespace', subjectNamespace, 'does not match event.namespace')];
}

function sourceCell(event: Event): string {
  const component = event.source?.component || event.reportingComponent || '';
  const host = event.source?.host || event.reportingInstance || '';
  return host === '' ? component : `${component}, ${host}`;
}

/** First and last sight of the event and how often, from whichever of its three notations (counted, series, single) it uses. */
function sightings(event: Event, nowMs: number): { first: string; last: string; count: number } {
  const first = ageOf(event.firstTimestamp ?? (event.eventTime as string | undefined), nowMs);
  if (event.series !== undefined) {
    return { first, last: ageOf(event.series.lastObservedTime as string, nowMs), count: event.series.count ?? 0 };
  }
  const last = event.lastTimestamp == null ? first : ageOf(event.lastTimestamp, nowMs);
  return { first, last, count: event.count || 1 };
}

function eventRow(event: Event, nowMs: number): unknown[] {
  const { first, last, count } = sightings(event, nowMs);
  const { kind = '', name = '', fieldPath = '' } = event.involvedObject ?? {};
  const subject = name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`;
  return [
    last || UNKNOWN,
    event.type ?? '',
    event.reason ?? '',
    subject,
    fieldPath,
    sourceCell(event),
    (event.message ?? '').trim(),
    first,
    count,
    event.metadata.name,
  ];
}

const columns = [
  text('Last Seen', 'Time since the event was last seen.'),
  text('Type', 'Normal or Warning.'),
  text('Reason', 'Short word for why it happened.'),
  text('Object', 'What the event is about.'),
  wideColumn('Subobject', 'Part of the object that the event is about.'),
  wideColumn('Source', 'Component, and its host, that reported the event.'),
  text('Message', 'What happened, for people.'),
  wideColumn('First Seen', 'Time since the event was first seen.'),
  wideColumn('Count', 'How often the event was seen.'),
  wideColumn('Name', 'Name of the event.'),
];

function eventFields(event: Event): Record<string, string> {
  const subject = event.involvedObject ?? {};
  const component = event.source?.component || event.reportingComponent || '';
  return {
    'involvedObject.kind': subject.kind ?? '',
    'involvedObject.namespace': subject.namespace ?? '',
    'involvedObject.name': subject.name ?? '',
    'involvedObject.uid': subject.uid ?? '',
    'involvedObject.apiVersion': subject.apiVersion ?? '',
    'involvedObject.resourceVersion': subject.resourceVersion ?? '',
    'involvedObject.fieldPath': subject.fieldPath ?? '',
    reason: event.reason ?? '',
    reportingComponent: event.reportingComponent ?? '',
    source: component,
    type: event.type ?? '',
  };
}

export const events: ResourceDefinition = defineResource<Event>({
  group: '',
  version: 'v1',
  resource: 'events',
  kind: 'Event',
  namespaced: true,
  shortNames: ['ev'],
  allowCreateOnUpdate: true,
  volatileTtlMs: EVENT_TTL_MS,
  validateName: pathSegmentName,
  validate: validateEvent,
  selectableFields: eventFields,
  columns,
  tableRow: eventRow,
});

/** Names of the fields that differ between the two faces of an Event. */
const CORE_TO_EVENTS: Readonly<Record<string, string>> = {
  involvedObject: 'regarding',
  message: 'note',
  source: 'deprecatedSource',
  firstTimestamp: 'deprecatedFirstTimestamp',
  lastTimestamp: 'deprecatedLastTimestamp',
  count: 'deprecatedCount',
  reportingComponent: 'reportingController',
};
const EVENTS_TO_CORE = Object.fromEntries(Object.entries(CORE_TO_EVENTS).map(([core, face]) => [face, core]));

function renameFields(object: KubeObject, names: Readonly<Record<string, string>>, apiVersion: string): KubeObject {
  const { kind, metadata } = object;
  const rest = Object.entries(object)
    .filter(([field]) => field !== 'apiVersion' && field !== 'kind' && field !== 'metadata')
    .map(([field, value]) => [names[field] ?? field, value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return { apiVersion, kind, metadata, ...Object.fromEntries(rest) };
}

const toCore = (object: KubeObject): KubeObject => renameFields(object, EVENTS_TO_CORE, 'v1');
const fromCore = (object: KubeObject): KubeObject => renameFields(object, CORE_TO_EVENTS, 'events.k8s.io/v1');
const asCore = (object: KubeObject): Event => toCore(object) as unknown as Event;

const MAX_NOTE_LENGTH = 1024;
const MAX_REASON_LENGTH = 128;

/** events.k8s.io/v1 asks for what core v1 leaves open. */
function validateNewEvent(object: KubeObject): FieldError[] {
  const event = asCore(object);
  const errors: FieldError[] = validateEvent(event).map((e) => ({
    ...e,
    field: e.field.replace('involvedObject', 'regarding'),
  }));
  if (!event.eventTime) errors.push(required('eventTime'));
  if (!event.reportingComponent) errors.push(required('reportingController'));
  if (!event.reportingInstance) errors.push(required('reportingInstance'));
  if (!event.action) errors.push(required('action'));
  else if (event.action.length > MAX_REASON_LENGTH)
    errors.push(invalid('action', '', `can have at most ${MAX_REASON_LENGTH} characters`));
  if (!event.reason) errors.push(required('reason'));
  else if (event.reason.length > MAX_REASON_LENGTH)
    errors.push(invalid('reason', '', `can have at most ${MAX_REASON_LENGTH} characters`));
  if ((event.message ?? '').length > MAX_NOTE_LENGTH)
    errors.push(invalid('note', '', `can have at most ${MAX_NOTE_LENGTH} characters`));
  if (event.type !== 'Normal' && event.type !== 'Warning')
    errors.push(invalid('type', event.type ?? '', `has invalid value: ${event.type ?? ''}`));
  return errors;
}

/** This face is selected by its own names and, as Kubernetes allows, by those of core v1. */
function faceFields(event: Event): Record<string, string> {
  const fields = eventFields(event);
  const renamed = Object.entries(fields).map(([field, value]) => [
    field.replace('involvedObject.', 'regarding.'),
    value,
  ]);
  return { ...fields, ...Object.fromEntries(renamed), reportingController: event.reportingComponent ?? '' };
}

const eventsGroupInfo = {
  group: 'events.k8s.io',
  version: 'v1',
  resource: 'events',
  kind: 'Event',
  namespaced: true,
} as const;

/** The same objects as core Events, with newer names for some fields. */
export const eventsInEventsGroup: ResourceDefinition = defineResource<KubeObject>({
  ...eventsGroupInfo,
  shortNames: ['ev'],
  storagePrefix: events.storagePrefix,
  allowCreateOnUpdate: true,
  volatileTtlMs: EVENT_TTL_MS,
  validateName: pathSegmentName,
  validate: (object, context) => (context.request.info.verb === 'create' ? validateNewEvent(object) : []),
  selectableFields: (object) => faceFields(asCore(object)),
  conversion: {
    storedAs: { group: '', version: 'v1', resource: 'events', kind: 'Event', namespaced: true },
    toStored: toCore,
    fromStored: fromCore,
  },
  columns,
  tableRow: (object, nowMs) => eventRow(asCore(object), nowMs),
});
