/**
 * Rules as the common firewalls of hosts leave them, in the form that a shell applies them in. Written down from what those tools set up with
 * their defaults (deny what comes in, deny what is forwarded), shortened to the chains that decide about a packet.
 */
export interface HostFirewall {
  readonly name: string;
  readonly apply: string;
  /** What the tool itself would change when told of pods, as our advice says; undefined: nothing has to be told. */
  readonly cure?: string;
  /** Reason of the problem that is told without the cure. */
  readonly reason?: string;
}

const UFW = `
iptables-restore -n <<EOF
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
:ufw-before-forward - [0:0]
:ufw-reject-forward - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
EOF`;

/** Without a container running: the chains stand all the same. */
const DOCKER = `
iptables-restore -n <<EOF
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
EOF`;

const FIREWALLD = `
nft -f - <<EOF
table inet firewalld {
  chain filter_INPUT_POLICIES { }
  chain filter_FORWARD_POLICIES { }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_INPUT_POLICIES
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_FORWARD_POLICIES
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
}
EOF`;

/** What adding a source to the zone "trusted" comes to. */
const FIREWALLD_TRUSTED = `
nft add rule inet firewalld filter_INPUT_POLICIES ip saddr 10.244.0.0/16 accept
nft add rule inet firewalld filter_FORWARD_POLICIES ip saddr 10.244.0.0/16 accept
nft add rule inet firewalld filter_FORWARD_POLICIES ip daddr 10.244.0.0/16 accept`;

/** The start of many a hand-made /etc/nftables.conf. */
const NFTABLES_CONF = `
nft -f - <<EOF
table inet filter {
  chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept; }
  chain forward { type filter hook forward priority 0; policy drop; }
}
EOF`;

const NFTABLES_CONF_CURE = `
nft insert rule inet filter input ip saddr 10.244.0.0/16 accept
nft insert rule inet filter forward ip saddr 10.244.0.0/16 accept
nft insert rule inet filter forward ip daddr 10.244.0.0/16 accept`;

export const HOST_FIREWALLS: readonly HostFirewall[] = [
  { name: 'ufw', apply: UFW },
  { name: 'Docker', apply: DOCKER },
  { name: 'firewalld', apply: FIREWALLD, cure: FIREWALLD_TRUSTED, reason: 'FirewalldRefusesPods' },
  { name: 'nftables.conf', apply: NFTABLES_CONF, cure: NFTABLES_CONF_CURE, reason: 'FirewallRefusesPods' },
  {
    name: 'iptables-legacy leftovers',
    apply:
      'iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i eth0 -j DROP; iptables-legacy -A FORWARD -m comment --comment old -j DROP',
    cure: 'iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F FORWARD',
    reason: 'IptablesLeftovers',
  },
];
