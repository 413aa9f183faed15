# strategy: {path: "opslab.nautilus.strategy.scenarios:OpsSmokeDemo"}
# expect: 2 strategy.path: opslab.nautilus.strategy.scenarios:OpsSmokeDemo is the lab's own: a scenario is named with strategy.name
