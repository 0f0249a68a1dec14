/**
 * Plays one build: enters stages, evaluates directives, runs steps, and notes what happened as a list of events.
 * The build says what goes wrong: a shell line that fails, hangs until a time-out, or is aborted.
 */
class Player {
  /** The build ends early; the result is FAILURE or ABORTED. */
  static class Interruption extends RuntimeException {
    final String result

    Interruption(String result, String message) {
      super(message)
      this.result = result
    }
  }

  final Map build
  final List<Map> events = []
  final Map<String, String> changedByScript = [:]
  final List<Map> layers = [] // environments of stages and steps, the innermost last
  final List<Map> timeouts = [] // [minutes, fired], the innermost last
  final List<String> locks = []
  final List<String> nodes = []
  final Env env = new Env(this)
  final Map<String, Object> params = [:]
  String result = 'SUCCESS'
  String stage = ''
  Specification specification
  Script script

  Player(Map build) { this.build = build }

  /** `env` of a pipeline script. */
  static class Env {
    private final Player owner

    Env(Player owner) { this.owner = owner }

    Object getProperty(String name) { owner.environment()[name] }
    void setProperty(String name, Object value) { owner.changedByScript[name] = value.toString() }
  }

  Map<String, String> environment() {
    def all = [JOB_BASE_NAME: build.job, *: build.environment ?: [:], *: build.parameters ?: [:], *: changedByScript]
    layers.each { all.putAll(it) }
    all
  }

  void note(Map event) { events << [stage: stage, *: event] }

  Object callInScript(Closure body) {
    def own = body.clone() as Closure
    own.delegate = script
    own.resolveStrategy = Closure.DELEGATE_FIRST
    own.call()
  }

  void play(Specification found) {
    specification = found
    found.parameters.each { params[it.name] = build.parameters?.get(it.name) ?: it.value }
    def options = evaluateOptions(found.options, true)
    if (build.restartFrom && options.plain.containsKey('disableRestartFromStage')) {
      throw new IllegalStateException('a restart from a stage is switched off')
    }
    note(event: 'options', names: (options.plain.keySet() + options.wrapping*.getAt(0)) as List)
    guarded {
      wrapped(options.wrapping) {
        onNode(found.agent) {
          layer(found.environment) {
            def stages = found.stages
            def first = build.restartFrom ? stages.findIndexOf { it.name == build.restartFrom } : 0
            guarded { playStages(stages.drop(first)) }
            playPost('pipeline', found.post, result)
          }
        }
      }
    }
  }

  private Object evaluateOptions(Closure body, boolean ofPipeline) {
    def options = Directives.options(this, ofPipeline)
    if (body) Specification.evaluate(body, options)
    options
  }

  /** Takes the result of an interruption as the result of the build and goes on. */
  private void guarded(Closure body) {
    try {
      body()
    } catch (Interruption interruption) {
      worsen(interruption)
    }
  }

  private void worsen(Interruption interruption) {
    if (result != 'FAILURE') result = interruption.result
    note(event: 'ended', result: interruption.result, message: interruption.message)
  }

  private void playStages(List stages) {
    stages.each { playStage(it) }
  }

  private void playStage(Object one) {
    def outer = stage
    stage = one.name
    try {
      wrapped(evaluateOptions(one.options, false).wrapping) {
        onNode(one.agent) { layer(one.environment) { playEntered(one) } }
      }
    } finally {
      stage = outer
    }
  }

  private void playEntered(Object one) {
    if (one.when && !holds(one.when)) {
      note(event: 'skipped')
      return
    }
    note(event: 'entered')
    Interruption interruption = null
    try {
      if (one.stages) playStages(one.stages) else callInScript(one.steps)
    } catch (Interruption caught) {
      interruption = caught
    }
    stage = one.name
    playPost(one.name, one.post, interruption?.result ?: 'SUCCESS')
    if (interruption) throw interruption
  }

  private boolean holds(Closure when) {
    def conditions = Directives.when(this)
    Specification.evaluate(when, conditions)
    conditions.all()
  }

  /** A condition that fails does not keep the later ones from running. */
  private void playPost(String where, Map<String, Closure> post, String outcome) {
    def wanted = ['always', outcome.toLowerCase(), outcome == 'SUCCESS' ? null : 'unsuccessful', 'cleanup']
    Specification.CONDITIONS.findAll { it in wanted && post[it] }.each { condition ->
      note(event: 'post', of: where, condition: condition)
      guarded { callInScript(post[condition]) }
    }
  }

  void wrapped(List<List> options, Closure body) {
    if (!options) {
      body()
      return
    }
    def (name, arguments) = options[0]
    "$name"(arguments as Map) { wrapped(options.drop(1), body) }
  }

  void timeout(Map arguments, Closure body) {
    def minutes = arguments.time * [MINUTES: 1, HOURS: 60][arguments.unit]
    within(timeouts, [minutes: minutes, stage: stage, fired: false], body)
  }

  void lock(Map arguments, Closure body) {
    note(event: 'locked', resource: arguments.resource.toString())
    within(locks, arguments.resource.toString(), body)
  }

  void onNode(Object agent, Closure body) {
    if (agent == null || agent == 'none') {
      body()
      return
    }
    def found = Directives.agent(this)
    if (agent instanceof Closure) Specification.evaluate(agent, found)
    note(event: 'node', label: found.name)
    within(nodes, found.name ?: 'any', body)
  }

  private void layer(Closure directive, Closure body) {
    def found = Directives.environment(this)
    if (directive) Specification.evaluate(directive, found)
    within(layers, found.found, body)
  }

  void within(List stack, Object entry, Closure body) {
    stack << entry
    try {
      body()
    } finally {
      stack.remove(stack.size() - 1)
    }
  }
}
