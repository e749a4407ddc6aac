// What an app made with jsforce does: a log-in in the browser with PKCE, and work with a refresh token.
// Told by the environment: URL, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, CALLBACK. Says what happened, a line each.
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const { Connection, OAuth2 } = createRequire(`${process.env.PACKAGES}/`)('jsforce');
const { URL: url, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, CALLBACK: redirectUri } = process.env;

async function loggedInByBrowser() {
  const oauth2 = new OAuth2({ loginUrl: url, clientId, clientSecret, redirectUri, useVerifier: true });
  const page = await fetch(oauth2.getAuthorizationUrl({ scope: 'api refresh_token', state: 'here & now' }), { redirect: 'manual' });
  const back = new globalThis.URL(page.headers.get('location'));
  assert.equal(back.searchParams.get('state'), 'here & now');
  const connection = new Connection({ oauth2, instanceUrl: url, version: '68.0' });
  const user = await connection.authorize(back.searchParams.get('code'));
  console.log(`authorize (PKCE): user ${user.id} of org ${user.organizationId}`);
  const me = await connection.identity();
  console.log(`identity: ${me.username}, ${me.display_name}, active ${me.active}`);
  const refreshToken = connection.refreshToken;
  await connection.logout(true);
  await assert.rejects(oauth2.refreshToken(refreshToken), /expired access\/refresh token/);
  console.log('logout: the refresh token was revoked');
}

async function workedWithARefreshToken() {
  const oauth2 = new OAuth2({ loginUrl: url, clientId, clientSecret });
  const connection = new Connection({ oauth2, instanceUrl: url, refreshToken: process.env.REFRESH_TOKEN, version: '68.0' });
  let rotated = 0;
  connection.on('refresh', (_token, answer) => {
    // jsforce does not keep a rotated refresh token by itself.
    connection.refreshToken = answer.refresh_token;
    rotated += 1;
  });
  const found = await connection.query('SELECT Id, LastName, Account.Name FROM Contact ORDER BY LastName');
  console.log(`query: ${found.totalSize} contacts, ${rotated} refresh; ${found.records.map((each) => each.LastName).join(', ')}`);
  const made = await connection.sobject('Contact').create({ LastName: "O'Hara", Email: 'ohara@example.com' });
  assert.equal(made.success, true);
  const back = await connection.sobject('Contact').retrieve(made.id);
  console.log(`create and retrieve: ${back.Name}`);
  await connection.sobject('Contact').update({ Id: made.id, Title: 'CTO' });
  await connection.sobject('Contact').destroy(made.id);
  await assert.rejects(connection.sobject('Contact').retrieve(made.id), /ENTITY_IS_DELETED|NOT_FOUND|deleted|not exist/);
  console.log('update and destroy: done');
  const me = await connection.identity();
  console.log(`identity: ${me.user_id} of ${me.organization_id}`);
}

await workedWithARefreshToken();
await loggedInByBrowser();
