// Flows one begins with, one for each language.
export const FLOW_TEMPLATES = {
  "States Language": `{
  "Comment": "Fetch, work on every item at once, then say so.",
  "StartAt": "Prepare",
  "States": {
    "Prepare": {
      "Type": "Pass",
      "Result": { "items": [1, 2, 3, 4] },
      "Next": "Each"
    },
    "Each": {
      "Type": "Map",
      "ItemsPath": "$.items",
      "MaxConcurrency": 2,
      "ItemProcessor": {
        "StartAt": "Pause",
        "States": {
          "Pause": { "Type": "Wait", "Seconds": 2, "End": true }
        }
      },
      "Next": "Enough"
    },
    "Enough": {
      "Type": "Choice",
      "Choices": [
        { "Variable": "$[0]", "NumericGreaterThan": 0, "Next": "Done" }
      ],
      "Default": "Nothing"
    },
    "Nothing": { "Type": "Fail", "Error": "Empty", "Cause": "there was nothing to do" },
    "Done": { "Type": "Succeed" }
  }
}
`,
  CloudFlow: `Type: StateMachine
SpecVersion: v1
Name: example
StartAt: Prepare
States:
  - Type: Pass
    Name: Prepare
    OutputConstructor:
      ready: true
    Next: Pause
  - Type: Wait
    Name: Pause
    Duration: 2
    End: true
`,
  FDL: `version: v1
type: flow
steps:
  - type: pass
    name: prepare
  - type: wait
    name: pause
    duration: 2
  - type: succeed
    name: done
`,
} as const;

export type Dialect = keyof typeof FLOW_TEMPLATES;
