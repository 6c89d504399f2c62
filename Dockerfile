# Built by `npm run image`, which stages code and dependencies first: nothing here needs a network.
ARG BASE=node:24-bookworm-slim
FROM ${BASE}
WORKDIR /app
COPY build/image/ /app/
RUN ln -s /app/src/cli/main.js /usr/local/bin/waymark
ENV NODE_ENV=production
# The user `node`, as a number so that runAsNonRoot can be checked.
USER 1000:1000
ENTRYPOINT ["node", "/app/src/cli/main.js"]
CMD ["help"]
