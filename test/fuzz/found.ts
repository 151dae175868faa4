/** What fuzzing has found, kept as inputs to begin with: each broke something once. */

export const found: Readonly<Record<string, readonly string[]>> = {
  // kept what each character stands in, which grew with the square of the text
  shell: [`v="${'${^@" '.repeat(6_000)}`],
  // a delimiter with a control character came into a message as it was
  template: ['cat <<E\u007fOF\n<<x>>\n'],
  // one problem a line, thousands of them in one message
  'config-ini': [`[remote]\nhost = h\n${'nonsense\n'.repeat(5_000)}`],
  'config-yaml': [`dropbox: d\n${Array.from({ length: 2_000 }, (_, n) => `k${n}: v\n`).join('')}`],
  // threw what is no error of ours
  record: ['null', '[]', '{"format": 1}', '{"inputs": {"a": null}, "outputs": {}, "format": 1, "key": ""}'],
  frames: ['\0\0\0\u0004\0\0\0\0null', '\0\0\0\u0001\0\0\0\u00001'],
  collected: [
    '\0\0\0\u0011\0\0\0\0{"type":"result"}',
    '\0\0\0\u0010\0\0\0\0{"type":"piece"}',
    '\0\0\0\u001d\0\0\0\0{"type":"result","result":{}}',
  ],
  // took time that doubled with each star
  'ssh-config': [`Host ${'*a'.repeat(30)}b\n  User u\n`],
  'known-hosts': [
    `${'*a'.repeat(30)}b ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIBEc2VydmVyIGtleSBvZiBub2JvZHkgaW4gcGFydGljdWxhcg\n`,
  ],
}
