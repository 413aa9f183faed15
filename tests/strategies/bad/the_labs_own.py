# strategy: {path: "opslab.nautilus.strategy.scenarios:OpsSmokeDemo"}
# expect: 2 strategy.path: opslab.nautilus.strategy.scenarios:OpsSmokeDemo is a class of the lab: select a scenario with strategy.name
