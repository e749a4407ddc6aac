// An OpenID Connect provider that nobody here wrote, on loopback; it prints its issuer.
// Argument: where its client may send people back to; the client's secret is in the environment.
import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import Provider from 'oidc-provider'

const [redirectUri] = process.argv.slice(2)
const secret = process.env.CLIENT_SECRET
const people = { ada: { name: 'Ada Lovelace', email: 'ada@example.com', email_verified: true, groups: ['crm-admins'] } }

const server = createServer()
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${server.address().port}`
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'orgserver', client_secret: secret, redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  }],
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], groups: ['groups'] },
  features: { claimsParameter: { enabled: true } },
  pkce: { required: () => true },
  // Without prompt=consent it takes offline_access out of a request, as OpenID Connect Core §11 lets it.
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub, ...people[sub] }) }),
})
server.on('request', provider.callback())
console.log(issuer)
