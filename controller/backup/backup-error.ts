/** What is wrong with a backup or with the place it should go to; the message is for the user and names the cure. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}
