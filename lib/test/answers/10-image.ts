/** Answers to the challenges of 10 · image, each challenge's in a list. */
import type { Answer } from "../more/answers.test.ts";

/** Sets NAMES to the names of the layers, in their order. */
const names = "NAMES=$(grep -o 'sha256:[0-9a-f]*' image/manifest.json | tail -n +2)";
/** A descriptor for what is in index.json. */
const listed = (type: string, file = "image/manifest.json") =>
  `'{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.${type}.v1+json","digest":"'$(bash digest ${file})'","size":'$(stat -c %s ${file})'}]}'`;
const version = `mkdir -p layout/blobs/sha256; echo '{ "imageLayoutVersion": "1.0.0" }' > layout/oci-layout`;

export const answers: Answer[][] = [
  [
    {
      name: "the layers, each in a directory of its own",
      lines: [
        `${names}; N=0; for NAME in $NAMES; do mkdir $((++N)); tar -xzf image/$NAME -C $N; done`,
        "cat 2/app/token > found",
      ],
    },
    {
      name: "the container's files before the whiteout is applied",
      lines: [
        `${names}; mkdir root; for NAME in $(echo "$NAMES" | head -n 2); do tar -xzf image/$NAME -C root; done`,
        "mv root/app/token found",
      ],
    },
    {
      name: "the older one, of the first layer",
      lines: [`${names}; tar -xzOf image/$(echo "$NAMES" | sed -n 1p) ./app/token > found`],
      missing: { 0: /It holds changeme/ },
    },
    {
      name: "what is left when all layers are unpacked into one directory",
      lines: [
        `${names}; mkdir root; for NAME in $NAMES; do tar -xzf image/$NAME -C root; rm -f root/app/token; done; cp root/app/token found`,
      ],
      missing: { 0: /no file 'found'/ },
    },
    {
      name: "a layer that is taken apart where it is",
      lines: [
        `${names}; NAME=image/$(echo "$NAMES" | sed -n 2p); mv $NAME $NAME.gz; gzip -d $NAME.gz; tar -xOf $NAME ./app/token > found`,
      ],
      missing: { 1: /Another is sha256:/ },
    },
  ],
  [
    {
      name: "a layer that is not packed, and another order of words",
      lines: [
        "touch .wh.password; tar -cf third .wh.password; NAME=$(bash digest third); cp third image/$NAME",
        `sed "s/\\]}}$/,\\"$NAME\\"]}}/" config.json > config2.json; CONFIG=$(bash digest config2.json); cp config2.json image/$CONFIG`,
        `echo '{"layers":['$(paste -sd, layers)',{"digest":"'$NAME'","size":'$(stat -c %s third)',"mediaType":"application/vnd.oci.image.layer.v1.tar"}],"config":{"digest":"'$CONFIG'","size":'$(stat -c %s config2.json)',"mediaType":"application/vnd.oci.image.config.v1+json"},"schemaVersion":2}' > image/manifest2.json`,
      ],
    },
    {
      name: "the first layer without the file",
      lines: [
        "mkdir 1 2; echo hello > 2/greeting; rm ids layers",
        "for N in 1 2; do bash layer $N; done; bash finish > image/manifest2.json",
      ],
      missing: { 0: /lists 2 layers/, 2: /no third/, 3: /lists 2/ },
    },
    {
      name: "an empty file of that name",
      lines: ["mkdir 3; touch 3/password; bash layer 3; bash finish > image/manifest2.json"],
      missing: { 2: /In it is password\./ },
    },
    {
      name: "a whiteout of a name that it should not hide as well",
      lines: [
        "mkdir 3; touch 3/.wh.password 3/.wh.greeting; bash layer 3; bash finish > image/manifest2.json",
      ],
      missing: { 2: /In it is \.wh\./ },
    },
    {
      name: "the config of the first image",
      lines: [
        "mkdir 3; touch 3/.wh.password; cp ids old; bash layer 3; mv old ids; bash finish > image/manifest2.json",
      ],
      missing: { 3: /lists 2/ },
    },
    {
      name: "the name of the packed layer among the unpacked ones",
      lines: [
        "mkdir 3; touch 3/.wh.password; bash layer 3; NAME=$(tail -n 1 layers | grep -o 'sha256:[0-9a-f]*')",
        `head -n 2 ids > new; echo "\\"$NAME\\"" >> new; mv new ids; bash finish > image/manifest2.json`,
      ],
      missing: { 3: /Its number 3 is sha256:/ },
    },
    {
      name: "a layer that is listed and was never added",
      lines: [
        "mkdir 3; touch 3/.wh.password; bash layer 3; rm image/$(tail -n 1 layers | grep -o 'sha256:[0-9a-f]*'); bash finish > image/manifest2.json",
      ],
      missing: { 1: /no file for/, 2: /no third/, 3: /Its number 3/ },
    },
  ],
  [
    {
      name: "hard links, and a name for the image",
      lines: [
        version,
        "cd image; for NAME in sha256:*; do ln $NAME ../layout/blobs/$(echo $NAME | tr : /); done; cd ..",
        "cp image/manifest.json layout/blobs/$(bash digest image/manifest.json | tr : /)",
        `echo ${listed("manifest")} | sed 's/}]}$/,"annotations":{"org.opencontainers.image.ref.name":"1"}}]}/' > layout/index.json`,
      ],
    },
    {
      name: "the colon in the names",
      lines: [
        version,
        "cp image/sha256:* layout/blobs/sha256; cp image/manifest.json layout/blobs/sha256/$(bash digest image/manifest.json)",
        `echo ${listed("manifest")} > layout/index.json`,
      ],
      missing: { 1: /is not in/, 2: /no file for/ },
    },
    {
      name: "the manifest as the index",
      lines: [
        version,
        "cd image; for NAME in sha256:*; do ln $NAME ../layout/blobs/$(echo $NAME | tr : /); done; cd ..",
        "cp image/manifest.json layout/index.json",
      ],
      missing: { 1: /no index/, 2: /no file for/ },
    },
    {
      name: "the config in place of the manifest",
      lines: [
        version,
        "cd image; for NAME in sha256:*; do ln $NAME ../layout/blobs/$(echo $NAME | tr : /); done; cd ..",
        `echo ${listed("config", "config.json")} > layout/index.json`,
      ],
      missing: { 1: /It lists sha256:/, 2: /no file for/ },
    },
    {
      name: "a manifest that was changed on the way",
      lines: [
        version,
        "cd image; for NAME in sha256:*; do ln $NAME ../layout/blobs/$(echo $NAME | tr : /); done; cd ..",
        "tr -d ' ' < image/manifest.json | sed 's/,/, /' > layout/blobs/$(bash digest image/manifest.json | tr : /)",
        `echo ${listed("manifest")} > layout/index.json`,
      ],
      missing: { 2: /What is called sha256:/ },
    },
    {
      name: "an index whose list is none",
      lines: [version, `echo '{"schemaVersion":2,"manifests":{}}' > layout/index.json`],
      missing: { 1: /not of the kind/, 2: /no file for/ },
    },
    {
      name: "no version",
      lines: ["mkdir layout; touch layout/oci-layout"],
      missing: { 0: /does not say so/, 1: /no such file/, 2: /no file for/ },
    },
  ],
];
