/** Reads a declarative Jenkinsfile: which sections and directives stand where. A section in a wrong place is an error. */
class Specification {
  static class Stage {
    String name
    Closure agent, environment, options, when, steps
    List<Stage> stages
    Map<String, Closure> post = [:]
  }

  Object agent
  Closure environment, options
  List<Map> parameters = []
  List<Stage> stages
  Map<String, Closure> post = [:]

  static final CONDITIONS = ['always', 'changed', 'fixed', 'regression', 'aborted', 'failure', 'success', 'unstable',
                             'unsuccessful', 'notBuilt', 'cleanup']

  static Specification read(Closure pipeline) {
    def found = new Specification()
    evaluate(pipeline, new PipelineBlock(found))
    require(found.agent != null, 'pipeline has no agent')
    require(found.stages, 'pipeline has no stages')
    found
  }

  static Object evaluate(Closure closure, Object delegate) {
    def own = closure.clone() as Closure
    own.delegate = delegate
    own.resolveStrategy = Closure.DELEGATE_ONLY
    own.call()
  }

  static void require(Object condition, String complaint) {
    if (!condition) throw new IllegalArgumentException("not a declarative pipeline: $complaint")
  }

  static class PipelineBlock {
    final Specification found
    final String none = 'none', any = 'any'

    PipelineBlock(Specification found) { this.found = found }

    void agent(Object value) { found.agent = value }
    void environment(Closure body) { found.environment = body }
    void options(Closure body) { found.options = body }
    void parameters(Closure body) { evaluate(body, new ParametersBlock(found.parameters)) }
    void stages(Closure body) { found.stages = readStages(body) }
    void post(Closure body) { evaluate(body, new PostBlock(found.post)) }
  }

  static class ParametersBlock {
    final List<Map> found

    ParametersBlock(List<Map> found) { this.found = found }

    void string(Map arguments) { found << [value: arguments.defaultValue ?: '', *: arguments] }
    void choice(Map arguments) { found << [value: arguments.choices[0], *: arguments] }
    void booleanParam(Map arguments) { found << [value: arguments.defaultValue ?: false, *: arguments] }
  }

  static List<Stage> readStages(Closure body) {
    def block = new StagesBlock()
    evaluate(body, block)
    require(block.found, 'stages is empty')
    block.found
  }

  static class StagesBlock {
    final List<Stage> found = []

    void stage(String name, Closure body) {
      def one = new Stage(name: name)
      evaluate(body, new StageBlock(one))
      require((one.steps == null) != (one.stages == null), "stage '$name' needs either steps or stages")
      found << one
    }
  }

  static class StageBlock {
    final Stage found

    StageBlock(Stage found) { this.found = found }

    void agent(Closure body) { found.agent = body }
    void environment(Closure body) { found.environment = body }
    void options(Closure body) { found.options = body }
    void when(Closure body) { found.when = body }
    void steps(Closure body) { found.steps = body }
    void stages(Closure body) { found.stages = readStages(body) }
    void post(Closure body) { evaluate(body, new PostBlock(found.post)) }
  }

  static class PostBlock {
    final Map<String, Closure> found

    PostBlock(Map<String, Closure> found) { this.found = found }

    Object invokeMethod(String name, Object arguments) {
      require(name in CONDITIONS, "post has no condition $name")
      found[name] = (arguments as Object[])[0] as Closure
    }
  }
}
