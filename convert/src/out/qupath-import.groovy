// Takes the objects of an export into the open image.
//
// In QuPath: Automate > Script editor, open this file, Run; then choose the export, which is called by the slide's id.
// Without a window: QuPath script qupath-import.groovy --image SLIDE --args EXPORT
import qupath.lib.io.PathIO
import java.nio.file.Paths

def file = args ? new File(args[0]) : qupath.fx.dialogs.FileChoosers.promptForFile("Objects of this slide")
if (file == null) return
def objects = PathIO.readObjects(Paths.get(file.absolutePath))
addObjects(objects)
fireHierarchyUpdate()
println "${objects.size()} objects from ${file.name}"
