// How to reach the page where it can do something: over a unix socket of the admin API.

// plain is a path that a shell takes as it is.
const plain = /^[\w@%+=:,./-]+$/;
const quoted = (path) => (plain.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

// reach says how, as {before, command, after}: command is for the shell of the reader's machine.
export function reach({ admin_listen: addresses, hostname }) {
  const socket = addresses?.find((address) => address.startsWith('unix:'))?.slice('unix:'.length);
  if (!socket) {
    return { before: 'Actions need a unix socket: add one to admin.listen in the configuration, such as ', command: '"unix:/run/tcp-proxy/admin.sock"', after: '.' };
  }
  return {
    before: 'Read-only here. To close sessions, forward a port to the unix socket, as root or as a member of the group of the service: ',
    command: `ssh -L 8080:${quoted(socket)} ${hostname ?? 'HOST'}`, after: ', and open http://localhost:8080/.',
  };
}
